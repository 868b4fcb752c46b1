// The sample, compiled for the least CPU of its kind.
#include "sample.hpp"

std::vector<double> generic_sample() { return sample(); }
