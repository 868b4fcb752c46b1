// The version of normkit: this is its one place, and CMake reads it from here.
#pragma once

#include <string_view>

#define NORMKIT_VERSION_MAJOR 0
#define NORMKIT_VERSION_MINOR 1
#define NORMKIT_VERSION_PATCH 0

// Two steps, so that the numbers and not their names become text.
#define NORMKIT_TEXT_OF(major, minor, patch) #major "." #minor "." #patch
#define NORMKIT_TEXT(major, minor, patch) NORMKIT_TEXT_OF(major, minor, patch)

namespace normkit {

/// The version as text, "major.minor.patch".
inline constexpr std::string_view version =
    NORMKIT_TEXT(NORMKIT_VERSION_MAJOR, NORMKIT_VERSION_MINOR, NORMKIT_VERSION_PATCH);

}  // namespace normkit

#undef NORMKIT_TEXT
#undef NORMKIT_TEXT_OF
