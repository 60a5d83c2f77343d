#include "../family.hpp"

namespace metaworld {

struct HandlePullBase : Family {
  const Site handle;
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");
  const Caging caging;
  const double success_radius;

  HandlePullBase(const mjModel& model, const char* handle_site, const Caging& caging, double success_radius)
      : Family(model), handle(site(handle_site)), caging(caging), success_radius(success_radius) {}

  virtual double distance(const Vec3& obj, const Vec3& target) const = 0;
  virtual bool lifted(const Vec3& obj, const Vec3& obj_init) const = 0;

  void objects(const World& world, Objects& out) const override { out.add(world.pos(handle), {0.0, 0.0, 0.0, 0.0}); }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double target_to_obj = distance(obj, target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const bool gripper_open = scene.gripper_opening() > 0;
    const double in_place = tolerance(target_to_obj, 0, target_radius, distance(obj_init, target));
    const Num object_grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);

    Num reward = hamacher_product(object_grasped, in_place);
    if (tcp_to_obj < 0.035 && gripper_open && lifted(obj, obj_init)) reward = reward + (1.0 + 5.0 * in_place);
    if (target_to_obj < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = target_to_obj <= success_radius;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = gripper_open && obj[2] - 0.03 > obj_init[2];
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};

struct HandlePull final : HandlePullBase {
  explicit HandlePull(const mjModel& model)
      : HandlePullBase(model, "handleRight", {0.022, 0.05, 0.01, 0.01, 1.0, Caging::kHigh}, 0.05) {}

  double distance(const Vec3& obj, const Vec3& target) const override { return std::abs(target[2] - obj[2]); }
  // y against z, as in Meta-World: always true in practice.
  bool lifted(const Vec3& obj, const Vec3& obj_init) const override { return obj[1] - 0.01 > obj_init[2]; }
};
REGISTER_FAMILY("handle-pull-v3", HandlePull);

struct HandlePullSide final : HandlePullBase {
  explicit HandlePullSide(const mjModel& model)
      : HandlePullBase(model, "handleCenter", {0.032, 0.06, 0.01, 0.01, 1.0, Caging::kHigh}, 0.08) {}

  double distance(const Vec3& obj, const Vec3& target) const override { return norm(obj - target); }
  bool lifted(const Vec3& obj, const Vec3& obj_init) const override { return obj[2] - 0.01 > obj_init[2]; }
};
REGISTER_FAMILY("handle-pull-side-v3", HandlePullSide);

}  // namespace metaworld
