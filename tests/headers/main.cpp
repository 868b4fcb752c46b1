// Says which version the headers have, to be held against the one that CMake read.
#include <iostream>
#include <normkit/version.hpp>

int main() { std::cout << "normkit " << normkit::version << '\n'; }
