#include "../family.hpp"

namespace metaworld {

struct LeverPull final : Family {
  using Family::Family;
  const Site lever = site("leverStart");
  const Geom obj_geom = geom("objGeom");
  const Joint axis = joint("LeverAxis");
  const Constant<3> lever_pos_init = constant3("_lever_pos_init");
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(lever), world.scipy_quat(obj_geom));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double pi = 3.14159265358979323846;
    const Vec3 lever = scene.obs_object(), lever_init = scene[lever_pos_init], target = scene[target_pos];
    // Sawyer's shoulder, not its fingers, should come underneath the lever; y matters least on the way.
    const Vec3 offset{0.0, 0.055, 0.07}, scale{4.0, 1.0, 4.0};
    const double shoulder_to_lever = norm((scene.obs_hand() + offset - lever) * scale);
    const double shoulder_to_lever_init = norm((scene[init_tcp] + offset - lever_init) * scale);
    const double ready_to_lift = tolerance(shoulder_to_lever, 0, 0.02, shoulder_to_lever_init);

    const double lever_error = std::abs(-scene.qpos(axis) - pi / 2.0);
    const double lever_engagement = tolerance(lever_error, 0, pi / 48.0, pi / 2.0 - pi / 12.0);
    const double in_place = tolerance(norm(lever - target), 0, 0.04, norm(lever_init - target));

    Outcome out;
    out.reward = 10.0 * hamacher_product(ready_to_lift, in_place);
    out.success = lever_error <= pi / 24;
    out.near_object = shoulder_to_lever < 0.03;
    out.grasp_success = ready_to_lift > 0.9;
    out.grasp_reward = ready_to_lift;
    out.in_place_reward = lever_engagement;
    out.obj_to_target = shoulder_to_lever;
    return out;
  }
};
REGISTER_FAMILY("lever-pull-v3", LeverPull);

}  // namespace metaworld
