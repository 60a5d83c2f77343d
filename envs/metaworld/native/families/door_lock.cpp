#include "../family.hpp"

namespace metaworld {

// Turning the lock of a door.
struct LockFamily : Family {
  LockFamily(const mjModel& model, const char* lock_site) : Family(model), lock(site(lock_site)) {}
  const Body door_link = body("door_link");
  const Site lock;
  static constexpr double lock_length = 0.1;
  static constexpr Vec3 scale = {0.25, 1.0, 0.5};  // of the way from the gripper to the lock

  void objects(const World& world, Objects& out) const override { out.add(world.pos(lock), world.quat(door_link)); }

  static double turned(double obj_to_target) { return tolerance(obj_to_target, 0, 0.005, lock_length); }

  static Outcome outcome(const Scene& scene, double reward, double tcp_to_obj, double obj_to_target, double near_lock) {
    Outcome out;
    out.reward = reward;
    out.success = obj_to_target <= 0.02;
    out.near_object = tcp_to_obj <= 0.05;
    out.grasp_success = scene.gripper_opening() > 0;
    out.grasp_reward = near_lock;
    out.in_place_reward = turned(obj_to_target);
    out.obj_to_target = obj_to_target;
    return out;
  }
};

struct DoorLock final : LockFamily {
  explicit DoorLock(const mjModel& model) : LockFamily(model, "lockStartLock") {}

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object();
    const double tcp_to_obj = norm((obj - scene.left_pad()) * scale);
    const double tcp_to_obj_init = tcp_to_obj;  // Meta-World's "initial" pad is a view of the current one
    const double obj_to_target = std::abs(scene[target_pos][2] - obj[2]);
    const double near_lock = tolerance(tcp_to_obj, 0, 0.01, tcp_to_obj_init);

    const double reward = 2 * hamacher_product(scene.gripper_opening(), near_lock) + 8 * turned(obj_to_target);
    return outcome(scene, reward, tcp_to_obj, obj_to_target, near_lock);
  }
};
REGISTER_FAMILY("door-lock-v3", DoorLock);

struct DoorUnlock final : LockFamily {
  explicit DoorUnlock(const mjModel& model) : LockFamily(model, "lockStartUnlock") {}
  const Body lock_link = body("lock_link");
  const Constant<3> init_tcp = constant3("init_tcp");

  Outcome evaluate(const Scene& scene) const override {
    const Vec3 obj = scene.obs_object();
    const Vec3 offset = {0.0, 0.055, 0.07};  // from the fingers to the gripper's shoulder
    const double shoulder_to_lock = norm((scene.obs_hand() + offset - obj) * scale);
    // `obj_init_pos` is a view of the link's current position.
    const double shoulder_to_lock_init = norm((scene[init_tcp] + offset - scene.pos(lock_link)) * scale);
    const double obj_to_target = std::abs(scene[target_pos][0] - obj[0]);
    const double ready_to_push = tolerance(shoulder_to_lock, 0, 0.02, shoulder_to_lock_init);

    const double reward = 2 * ready_to_push + 8 * turned(obj_to_target);
    return outcome(scene, reward, shoulder_to_lock, obj_to_target, ready_to_push);
  }
};
REGISTER_FAMILY("door-unlock-v3", DoorUnlock);

}  // namespace metaworld
