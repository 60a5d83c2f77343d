// Small vectors, with the few operations that rewards use, rounded as numpy rounds them.
#pragma once

#include <cmath>

namespace metaworld {

template <int N>
struct Vec {
  double v[N];
  double operator[](int i) const { return v[i]; }
  double& operator[](int i) { return v[i]; }
};
using Vec2 = Vec<2>;
using Vec3 = Vec<3>;
using Vec4 = Vec<4>;  // also quaternions, in whichever order the source uses

template <int N>
Vec<N> read(const double* from) {
  Vec<N> out;
  for (int i = 0; i < N; i++) out[i] = from[i];
  return out;
}

template <int N>
Vec<N> operator+(const Vec<N>& a, const Vec<N>& b) {
  Vec<N> out;
  for (int i = 0; i < N; i++) out[i] = a[i] + b[i];
  return out;
}
template <int N>
Vec<N> operator-(const Vec<N>& a, const Vec<N>& b) {
  Vec<N> out;
  for (int i = 0; i < N; i++) out[i] = a[i] - b[i];
  return out;
}
template <int N>
Vec<N> operator*(const Vec<N>& a, const Vec<N>& b) {  // element by element, as in numpy
  Vec<N> out;
  for (int i = 0; i < N; i++) out[i] = a[i] * b[i];
  return out;
}
template <int N>
Vec<N> operator/(const Vec<N>& a, double s) {
  Vec<N> out;
  for (int i = 0; i < N; i++) out[i] = a[i] / s;
  return out;
}

inline Vec2 xy(const Vec3& a) { return {a[0], a[1]}; }
inline Vec2 xz(const Vec3& a) { return {a[0], a[2]}; }
inline Vec2 yz(const Vec3& a) { return {a[1], a[2]}; }

// Whether numpy's dot product of float64 vectors rounds once per term (fused multiply-add) or twice. It depends on the
// BLAS and the processor; Python measures it when the module is imported. One bit in the gripper's opening hangs on it.
inline bool dot_is_fused = true;

// np.linalg.norm of a 1-D array: sqrt(dot(a, a)).
template <int N>
double norm(const Vec<N>& a) {
  double sum = a[0] * a[0];
  for (int i = 1; i < N; i++) sum = dot_is_fused ? std::fma(a[i], a[i], sum) : sum + a[i] * a[i];
  return std::sqrt(sum);
}

// np.clip for one number (equal values, hence signed zeros, come from the bound).
inline double clip(double x, double low, double high) {
  const double raised = x > low ? x : low;
  return raised < high ? raised : high;
}

// scipy's Rotation.from_matrix(m).as_quat() for a rotation matrix in row-major order: (x, y, z, w).
inline Vec4 quat_from_matrix(const Vec<9>& m) {
  const double trace = m[0] + m[4] + m[8];
  int i = 0;
  if (m[4] > m[0]) i = 1;
  if (m[8] > m[4 * i]) i = 2;
  Vec4 q;
  if (trace > m[4 * i]) {
    q = {m[7] - m[5], m[2] - m[6], m[3] - m[1], 1 + trace};
  } else {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    q[i] = 1 - trace + 2 * m[4 * i];
    q[j] = m[3 * j + i] + m[3 * i + j];
    q[k] = m[3 * k + i] + m[3 * i + k];
    q[3] = m[3 * k + j] - m[3 * j + k];
  }
  return q / std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
}

}  // namespace metaworld
