// Reward pieces that many families share, in Meta-World's own arithmetic (metaworld/utils/reward_utils.py and
// SawyerXYZEnv._gripper_caging_reward). Pure functions: no simulation in here.
#pragma once

#include <algorithm>
#include <cmath>

#include "vec.hpp"

namespace metaworld {

// A number with the type numpy 2 gives it (NEP 50). Actions are float32, so parts of Meta-World's rewards are computed
// in float32, which shows in the seventh digit: a Python float is "weak" and takes on the float32 of its partner, a
// numpy float64 does not. Use Num for what descends from an action and plain double (= weak) for the rest.
//
//     Num effort = scene.effort();          // np.float32, action[3]
//     Num a = 0.5 * effort;                 // float32
//     Num b = float64(distance) + effort;   // np.float64 + np.float32: float64
//     double c = a.item();                  // Python's float(a)
class Num {
 public:
  Num(double weak) : value_(weak), kind_(kWeak) {}  // NOLINT: implicit on purpose, as in Python
  static Num single(double x) { return Num(static_cast<float>(x), kSingle); }
  static Num float64(double x) { return Num(x, kDouble); }
  double item() const { return value_; }

  friend Num operator+(Num a, Num b) { return combine(a, b, [](auto x, auto y) { return x + y; }); }
  friend Num operator-(Num a, Num b) { return combine(a, b, [](auto x, auto y) { return x - y; }); }
  friend Num operator*(Num a, Num b) { return combine(a, b, [](auto x, auto y) { return x * y; }); }
  friend Num operator/(Num a, Num b) { return combine(a, b, [](auto x, auto y) { return x / y; }); }
  friend bool operator<(Num a, Num b) {
    return common(a, b) == kSingle ? static_cast<float>(a.value_) < static_cast<float>(b.value_) : a.value_ < b.value_;
  }
  friend bool operator>(Num a, Num b) { return b < a; }
  friend bool operator<=(Num a, Num b) { return !(b < a); }  // rewards hold no NaN
  friend bool operator>=(Num a, Num b) { return !(a < b); }

 private:
  enum Kind { kWeak, kSingle, kDouble };  // ordered: the larger wins
  Num(double value, Kind kind) : value_(value), kind_(kind) {}
  static Kind common(Num a, Num b) { return std::max(a.kind_, b.kind_); }
  template <class Op>
  static Num combine(Num a, Num b, Op op) {
    const Kind kind = common(a, b);
    if (kind != kSingle) return Num(op(a.value_, b.value_), kind);
    return Num(op(static_cast<float>(a.value_), static_cast<float>(b.value_)), kind);
  }

  double value_;
  Kind kind_;
};

inline Num float64(double x) { return Num::float64(x); }

// Python's min(a, b) and max(a, b): the first argument unless the second is strictly better.
inline Num py_min(Num a, Num b) { return b < a ? b : a; }
inline Num py_max(Num a, Num b) { return b > a ? b : a; }
// np.clip(x, low, high) with Python numbers as bounds: keeps the type of x.
inline Num clip(Num x, double low, double high) {
  const Num zero = x - x;  // a zero of x's type, to give the bounds that type
  return x < low ? zero + low : high < x ? zero + high : x;
}

enum class Sigmoid { long_tail, gaussian };

// reward_utils.tolerance with value_at_margin = 0.1: 1 inside [lower, upper], falling to 0.1 at `margin` outside.
inline double tolerance(double x, double lower, double upper, double margin, Sigmoid sigmoid = Sigmoid::long_tail) {
  if (lower <= x && x <= upper) return 1.0;
  if (margin == 0) return 0.0;
  const double d = (x < lower ? lower - x : x - upper) / margin;
  if (sigmoid == Sigmoid::gaussian) {
    const double scaled = d * std::sqrt(-2 * std::log(0.1));
    return std::exp(-0.5 * (scaled * scaled));
  }
  const double scaled = d * std::sqrt(1 / 0.1 - 1);
  return 1 / (scaled * scaled + 1);
}

// reward_utils.hamacher_product: a t-norm, i.e. a soft "and" of two numbers in [0, 1].
inline double hamacher_product(double a, double b) {
  const double denominator = a + b - (a * b);
  return denominator > 0 ? (a * b) / denominator : 0.0;
}
inline Num hamacher_product(Num a, Num b) {
  const Num denominator = a + b - (a * b);
  return denominator > 0 ? (a * b) / denominator : Num(0.0);
}

// reward_utils.rect_prism_tolerance: rises from 0 at corner `zero` to 1 at corner `one`; 1 outside the prism.
inline double rect_prism_tolerance(const Vec3& curr, const Vec3& zero, const Vec3& one) {
  double product = 1.0;
  for (int i = 0; i < 3; i++) {
    if (curr[i] < std::min(zero[i], one[i]) || curr[i] > std::max(zero[i], one[i])) return 1.0;
    const double scale = (curr[i] - zero[i]) / (one[i] - zero[i]);
    product = i == 0 ? scale : product * scale;
  }
  return product;
}

// What the gripper does, as the caging rewards see it.
struct Gripper {
  Vec3 tcp;                  // centre between the finger tips
  Vec3 left_pad, right_pad;  // current positions
  Num effort;                // action[3], float32
};

// Arguments of SawyerXYZEnv._gripper_caging_reward, under its names.
struct Caging {
  double obj_radius, pad_success_thresh, object_reach_radius, xz_thresh;
  double desired_gripper_effort = 1.0;
  enum Density { kPlain, kMedium, kHigh } density = kPlain;
};

// SawyerXYZEnv._gripper_caging_reward: how well the pads enclose the object in y, the gripper meets it in x and z, and
// the fingers close. Some families override this method: those keep their own version in their own file.
inline Num gripper_caging_reward(const Gripper& grip, const Vec3& obj, const Vec3& obj_init, const Vec3& init_tcp,
                                 const Caging& c) {
  double caging_lr[2];
  for (int side = 0; side < 2; side++) {
    const double pad_y = side == 0 ? grip.left_pad[1] : grip.right_pad[1];
    const double margin = std::abs(std::abs(pad_y - obj_init[1]) - c.pad_success_thresh);
    caging_lr[side] = tolerance(std::abs(pad_y - obj[1]), c.obj_radius, c.pad_success_thresh, margin);
  }
  const double caging_y = hamacher_product(caging_lr[0], caging_lr[1]);

  const double xz_margin = norm(xz(obj_init) - xz(init_tcp)) - c.xz_thresh;
  const double caging_xz = tolerance(norm(xz(grip.tcp) - xz(obj)), 0, c.xz_thresh, xz_margin);

  const Num gripper_closed = py_min(py_max(0, grip.effort), c.desired_gripper_effort) / c.desired_gripper_effort;
  const double caging = hamacher_product(caging_y, caging_xz);
  const Num gripping = caging > 0.97 ? gripper_closed : Num(0.0);
  Num result = hamacher_product(caging, gripping);

  if (c.density == Caging::kHigh) result = (result + caging) / 2;
  if (c.density == Caging::kMedium) {
    const double reach_margin = std::abs(norm(obj_init - init_tcp) - c.object_reach_radius);
    const double reach = tolerance(norm(obj - grip.tcp), 0, c.object_reach_radius, reach_margin);
    result = (result + reach) / 2;
  }
  return result;
}

}  // namespace metaworld
