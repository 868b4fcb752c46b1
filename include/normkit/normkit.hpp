#pragma once

/// normkit: normalization layers over Eigen::Tensor.
#include <normkit/batch_norm.hpp>
#include <normkit/core.hpp>
#include <normkit/detail/simd/isa.hpp>
#include <normkit/error.hpp>
#include <normkit/layer_norm.hpp>
#include <normkit/moments.hpp>
#include <normkit/version.hpp>
