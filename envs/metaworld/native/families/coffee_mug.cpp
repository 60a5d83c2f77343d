#include "../family.hpp"

namespace metaworld {

// coffee-push and coffee-pull move the mug to and from the machine, and are judged alike.
struct CoffeeMug : Family {
  using Family::Family;
  const Body obj = body("obj");
  const Geom mug = geom("mug");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override { out.add(world.pos(obj), world.scipy_quat(mug)); }

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object(), target = scene[target_pos], obj_init = scene[obj_init_pos];
    const Vec3 scale = {2.0, 2.0, 1.0};
    const double target_to_obj = norm((obj - target) * scale);
    const double in_place = tolerance(target_to_obj, 0, 0.05, norm((obj_init - target) * scale));
    const double tcp_to_obj = norm(obj - scene.tcp());

    Caging caging;
    caging.object_reach_radius = 0.04;
    caging.obj_radius = 0.02;
    caging.pad_success_thresh = 0.05;
    caging.xz_thresh = 0.05;
    caging.desired_gripper_effort = 0.7;
    caging.density = Caging::kMedium;
    const Num object_grasped = gripper_caging_reward(scene.gripper(), obj, obj_init, scene[init_tcp], caging);

    Num reward = hamacher_product(object_grasped, in_place);
    if (tcp_to_obj < 0.04 && scene.gripper_opening() > 0) reward = reward + (1.0 + 5.0 * in_place);
    if (target_to_obj < 0.05) reward = 10.0;

    Outcome out;
    out.reward = reward.item();
    out.obj_to_target = norm(obj - target);
    out.success = out.obj_to_target <= 0.07;
    out.near_object = tcp_to_obj <= 0.03;
    out.grasp_success = scene.touching(mug) && scene.gripper_opening() > 0;
    out.grasp_reward = object_grasped.item();
    out.in_place_reward = in_place;
    return out;
  }
};

struct CoffeePush final : CoffeeMug { using CoffeeMug::CoffeeMug; };
struct CoffeePull final : CoffeeMug { using CoffeeMug::CoffeeMug; };
REGISTER_FAMILY("coffee-push-v3", CoffeePush);
REGISTER_FAMILY("coffee-pull-v3", CoffeePull);

}  // namespace metaworld
