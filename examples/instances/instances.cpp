// The kernels that main.cpp and any other file of the program use.
#include <normkit/instances.hpp>
