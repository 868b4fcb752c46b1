// The sample, compiled for this very CPU.
#include "sample.hpp"

std::vector<double> native_sample() { return sample(); }
