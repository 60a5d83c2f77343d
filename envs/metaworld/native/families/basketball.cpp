#include "../family.hpp"

namespace metaworld {

struct Basketball final : Family {
  using Family::Family;
  const Body ball = body("bsktball");
  const Site hoop = site("goal");  // Meta-World's _target_pos is a view of its position
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(ball), world.quat(ball)); }
  Vec3 goal(const World& world) const override { return world.pos(hoop); }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.08;
    const Vec3 obj = scene.obs_object(), obj_init = scene[obj_init_pos];
    Vec3 target = scene.pos(hoop);
    target[2] = 0.3;  // slightly above the hoop
    const Vec3 scale = {1.0, 1.0, 2.0};
    const double obj_to_target = norm((obj - target) * scale);
    const double in_place = tolerance(obj_to_target, 0, target_radius, norm((obj_init - target) * scale));
    const double tcp_to_obj = norm(obj - scene.tcp());
    const bool opened = scene.gripper_opening() > 0;
    const bool lifted = tcp_to_obj < 0.035 && opened && obj[2] - 0.01 > obj_init[2];

    const Caging caging{0.025, 0.06, 0.01, 0.005, 1.0, Caging::kHigh};
    Num grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);
    if (lifted) grasped = 1.0;
    Num reward = hamacher_product(grasped, in_place);
    if (lifted) reward = reward + (1.0 + 5.0 * in_place);
    if (obj_to_target < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= target_radius;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = opened && obj[2] - 0.03 > obj_init[2];
    out.grasp_reward = grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("basketball-v3", Basketball);

}  // namespace metaworld
