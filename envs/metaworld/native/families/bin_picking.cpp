#include "../family.hpp"

namespace metaworld {

struct BinPicking final : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Body bin_goal = body("bin_goal");  // Meta-World's _target_pos is a view of its position
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.quat(obj)); }
  Vec3 goal(const World& world) const override { return world.pos(bin_goal); }

  // How far the hand keeps above the edges of the bins: a floor with a funnel over the object's first place and one
  // over the goal.
  static double above_floor(const Vec3& hand, const Vec3& obj_init, const Vec3& target) {
    const auto height = [&](const Vec3& center) {
      const double threshold = 0.03, radius = norm(xy(hand) - xy(center));
      return radius > threshold ? 0.02 * std::log(radius - threshold) + 0.2 : 0.0;
    };
    const double floor = std::min(height(obj_init), height(target));
    return hand[2] >= floor ? 1.0 : tolerance(std::max(floor - hand[2], 0.0), 0.0, 0.01, 0.05);
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 hand = scene.obs_hand(), obj = scene.obs_object();
    const Vec3 target = scene.pos(bin_goal), obj_init = scene[obj_init_pos];
    const double obj_to_target = norm(obj - target);
    if (std::isnan(scene.memory)) scene.memory = obj_to_target;  // Meta-World's _target_to_obj_init
    const double in_place = tolerance(obj_to_target, 0, target_radius, scene.memory);

    const Caging caging{0.015, 0.05, 0.01, 0.01, 0.7, Caging::kHigh};
    const Num grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);
    const bool near_object = norm(obj - hand) < 0.04;
    const bool grasp_success = near_object && obj[2] - 0.02 > obj_init[2] && !(scene.gripper_opening() < 0.43);

    Num reward = hamacher_product(grasped, in_place);
    if (grasp_success) {
      reward = reward + (1.0 + 5.0 * hamacher_product(above_floor(hand, obj_init, target), in_place));
    }
    if (obj_to_target < target_radius) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.success = obj_to_target <= 0.05;
    out.near_object = near_object;
    out.grasp_success = grasp_success;
    out.grasp_reward = grasped.item();
    out.in_place_reward = in_place;
    out.obj_to_target = obj_to_target;
    return out;
  }
};
REGISTER_FAMILY("bin-picking-v3", BinPicking);

}  // namespace metaworld
