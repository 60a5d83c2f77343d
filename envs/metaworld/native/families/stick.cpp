// stick-pull, stick-push: take the stick and move a container with it.
#include "../family.hpp"

namespace metaworld {

struct Stick : Family {
  Stick(const mjModel& model, const Vec3& insertion_to_object) : Family(model), offset(insertion_to_object) {}
  const Vec3 offset;  // from the container's insertion to what the observation shows
  const Body stick = body("stick");
  const Geom stick_geom = geom("objGeom");
  const Site insertion = site("insertion");
  const Constant<3> stick_init_pos = constant3("stick_init_pos");
  const Constant<3> obj_init_pos = constant3("obj_init_pos");  // the container's
  const Constant<3> init_tcp = constant3("init_tcp");

  void objects(const World& world, Objects& out) const override {
    out.add(world.pos(stick), world.scipy_quat(stick));
    out.add(world.pos(insertion) + offset, {0.0, 0.0, 0.0, 0.0});
  }
};

struct StickPull final : Stick {
  explicit StickPull(const mjModel& model) : Stick(model, {0.0, 0.0, 0.0}) {}
  const Site stick_end = site("stick_end");

  static bool inserted(const Vec3& handle, const Vec3& end) {
    return end[0] >= handle[0] && std::abs(end[1] - handle[1]) <= 0.040 && std::abs(end[2] - handle[2]) <= 0.060;
  }

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.05;
    const Vec3 stick = scene.obs_object(), handle = scene.obs3(11), target = scene[target_pos];
    const Vec3 stick_init = scene[stick_init_pos], obj_init = scene[obj_init_pos];
    const Vec3 handle_to_container = {0.05, 0.0, 0.0};
    const Vec3 container = handle + handle_to_container, container_init = obj_init + handle_to_container;
    const double tcp_to_stick = norm(stick - scene.tcp());
    const double handle_to_target = norm(handle - target);
    const bool opened = scene.gripper_opening() > 0;
    const bool in_handle = inserted(handle, scene.pos(stick_end));

    const Vec3 scale = {1.0, 1.0, 2.0};
    const double stick_in_place = tolerance(norm((stick - container) * scale), 0, target_radius,
                                            norm((stick_init - container_init) * scale));
    const double stick_at_target = tolerance(norm(stick - target), 0, target_radius, norm(stick_init - target));
    const double container_in_place = tolerance(norm(container - target), 0, target_radius, norm(obj_init - target));

    // Measured from the container's first position, although it is the stick that is grasped.
    const Caging caging{0.014, 0.05, 0.01, 0.01, 1.0, Caging::kHigh};
    Num grasped = gripper_caging_reward(scene.gripper(), stick, obj_init, scene[init_tcp], caging);
    const bool held = tcp_to_stick < 0.02 && opened && stick[2] - 0.01 > stick_init[2];
    if (held) grasped = 1.0;
    const Num in_place_and_grasped = hamacher_product(grasped, stick_in_place);
    Num reward = in_place_and_grasped;
    if (held) {
      reward = 1.0 + in_place_and_grasped + 5.0 * stick_in_place;
      if (in_handle) {
        reward = 1.0 + in_place_and_grasped + 5.0 + 2.0 * stick_at_target + 1.0 * container_in_place;
        if (handle_to_target <= 0.12) reward = 10.0;
      }
    }

    Outcome out;
    out.reward = reward.item();
    out.success = handle_to_target <= 0.12 && in_handle;
    out.near_object = tcp_to_stick <= 0.03;
    out.grasp_success = scene.touching(stick_geom) && opened && stick[2] - 0.02 > obj_init[2];
    out.grasp_reward = grasped.item();
    out.in_place_reward = stick_in_place;
    out.obj_to_target = handle_to_target;
    return out;
  }
};
REGISTER_FAMILY("stick-pull-v3", StickPull);

struct StickPush final : Stick {
  explicit StickPush(const mjModel& model) : Stick(model, {0.0, 0.09, 0.0}) {}

  Outcome evaluate(const Scene& scene) const override {
    const double target_radius = 0.12;
    const Vec3 stick = scene.obs_object() + Vec3{0.015, 0.0, 0.0}, container = scene.obs3(11);
    const Vec3 target = scene[target_pos], stick_init = scene[stick_init_pos];
    const double tcp_to_stick = norm(stick - scene.tcp());
    const bool opened = scene.gripper_opening() > 0;
    const double stick_in_place =
        tolerance(norm(stick - target), 0, target_radius, norm(stick_init - target) - target_radius);
    const double container_to_target = norm(container - target);
    const double container_in_place =
        tolerance(container_to_target, 0, target_radius, norm(scene[obj_init_pos] - target) - target_radius);

    const Caging caging{0.04, 0.05, 0.01, 0.01, 1.0, Caging::kHigh};
    Num grasped = gripper_caging_reward(scene.gripper(), stick, stick_init, scene[init_tcp], caging);
    Num reward = grasped;
    if (tcp_to_stick < 0.02 && opened && stick[2] - 0.01 > stick_init[2]) {
      grasped = 1.0;
      reward = 2.0 + 5.0 * stick_in_place + 3.0 * container_in_place;
      if (container_to_target <= target_radius) reward = 10.0;
    }
    const bool grasp_success =
        scene.touching(stick_geom) && opened && scene.obs_object()[2] - 0.01 > stick_init[2];

    Outcome out;
    out.reward = reward.item();
    out.success = grasp_success && container_to_target <= 0.12;
    out.near_object = tcp_to_stick <= 0.03;
    out.grasp_success = grasp_success;
    out.grasp_reward = grasped.item();
    out.in_place_reward = stick_in_place;
    out.obj_to_target = container_to_target;
    return out;
  }
};
REGISTER_FAMILY("stick-push-v3", StickPush);

}  // namespace metaworld
