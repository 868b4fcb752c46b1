// x without its mean, from the output of a norm whose parameters go by element. Compiled once.

/// x - mean = (y - bias) / (weight * rstd), which a rstd of 0 makes 0. rstd from the first group of the block, parameters from its
/// first element; null: 1 and 0. out may be y.
template <class S, class T = Arithmetic<S>>
void centre_from_output(const Block& block, const S* y, const double* rstd, const T* weight, const T* bias,
                        bool zero_centred, S* out) noexcept {
  NORMKIT_EXACT
  for (Index p = 0; p < block.planes; ++p)
    for (Index g = 0; g < block.groups; ++g) {
      const Index at = g * block.group_stride + p * block.plane_stride, element = p * block.plane_elements;
      const double inverse = rstd[g] == 0.0 ? 0.0 : 1.0 / rstd[g];
      const AlongRun<T> w(weight, true, g, element, 1.0, zero_centred), b(bias, true, g, element, 0.0, false);
      for (Index i = 0; i < block.length; ++i)
        out[at + i] = stored<S>(static_cast<T>((number(y[at + i]) - b[i]) / w[i] * inverse));
    }
}
