#include "../family.hpp"

namespace metaworld {

struct Faucet : Family {
  const Site handle;
  const Body base = body("faucetBase");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");  // of the base
  const Constant<3> init_tcp = constant3("init_tcp");
  const Vec3 push_offset;  // from the observed handle to where the gripper should push it

  Faucet(const mjModel& model, const char* handle_site, const Vec3& push_offset)
      : Family(model), handle(site(handle_site)), push_offset(push_offset) {}

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(handle) + Vec3{0.0, 0.0, -0.01}, world.quat(base));
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.07, reach_radius = 0.01;
    const Vec3 obj = scene.obs_object() + push_offset, target = scene[target_pos], obj_init = scene[obj_init_pos];
    const double target_to_obj = norm(obj - target);
    const double tcp_to_obj = norm(obj - scene.tcp());
    const double target_to_obj_init = norm(obj_init - target), tcp_to_obj_init = norm(obj_init - scene[init_tcp]);
    const double in_place = tolerance(target_to_obj, 0, target_radius, std::abs(target_to_obj_init - target_radius));
    const double reach =
        tolerance(tcp_to_obj, 0, reach_radius, std::abs(tcp_to_obj_init - reach_radius), Sigmoid::gaussian);

    Outcome out;
    out.reward = target_to_obj <= target_radius ? 10.0 : (2 * reach + 3 * in_place) * 2;
    out.success = target_to_obj <= 0.07;
    out.near_object = tcp_to_obj <= 0.01;
    out.grasp_success = 1.0;
    out.grasp_reward = reach;
    out.in_place_reward = in_place;
    out.obj_to_target = target_to_obj;
    return out;
  }
};

struct FaucetOpen final : Faucet {
  explicit FaucetOpen(const mjModel& model) : Faucet(model, "handleStartOpen", {-0.04, 0.0, 0.03}) {}
};
REGISTER_FAMILY("faucet-open-v3", FaucetOpen);

struct FaucetClose final : Faucet {
  explicit FaucetClose(const mjModel& model) : Faucet(model, "handleStartClose", {0.0, 0.0, 0.0}) {}
};
REGISTER_FAMILY("faucet-close-v3", FaucetClose);

}  // namespace metaworld
