#include "../family.hpp"

namespace metaworld {

struct PlateSlideBase : Family {
  using Family::Family;
  const Geom puck = geom("puck");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");
  static constexpr double kTargetRadius = 0.05;

  virtual double margin(double initial_distance) const { return initial_distance - kTargetRadius; }
  virtual double shape(const Vec3& tcp, double tcp_to_obj, double object_grasped, double in_place) const {
    return tcp[2] <= 0.03 && tcp_to_obj < 0.07 ? 2.0 + 7.0 * in_place : 1.5 * object_grasped;
  }

  void objects(const World& world, Objects& out) const override { out.add(world.pos(puck), world.scipy_quat(puck)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object(), tcp = scene.tcp(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double obj_to_target = norm(obj - target);
    const double tcp_to_obj = norm(tcp - obj);
    const double in_place = tolerance(obj_to_target, 0, kTargetRadius, margin(norm(obj_init - target)));
    const double object_grasped = tolerance(tcp_to_obj, 0, kTargetRadius, margin(norm(scene[init_tcp] - obj_init)));

    Outcome out;
    out.reward = obj_to_target < kTargetRadius ? 10.0 : shape(tcp, tcp_to_obj, object_grasped, in_place);
    out.success = obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = 0.0;
    out.grasp_reward = object_grasped;
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};

struct PlateSlide final : PlateSlideBase {
  using PlateSlideBase::PlateSlideBase;

  double margin(double initial_distance) const override { return initial_distance; }
  double shape(const Vec3&, double, double object_grasped, double in_place) const override {
    return 8 * hamacher_product(object_grasped, in_place);
  }
};
REGISTER_FAMILY("plate-slide-v3", PlateSlide);

struct PlateSlideBack final : PlateSlideBase {
  using PlateSlideBase::PlateSlideBase;
};
REGISTER_FAMILY("plate-slide-back-v3", PlateSlideBack);

struct PlateSlideSide final : PlateSlideBase {
  using PlateSlideBase::PlateSlideBase;
};
REGISTER_FAMILY("plate-slide-side-v3", PlateSlideSide);

struct PlateSlideBackSide final : PlateSlideBase {
  using PlateSlideBase::PlateSlideBase;
};
REGISTER_FAMILY("plate-slide-back-side-v3", PlateSlideBackSide);

}  // namespace metaworld
