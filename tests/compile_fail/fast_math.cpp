// Compiled with options under which a compiler may reorder sums or take NaN to be impossible: it must not come through.
#include <normkit/normkit.hpp>

int main() {}
