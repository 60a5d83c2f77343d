// One Meta-World family (say "reach-v3"): what it shows of its objects, and how it judges a step.
//
// HOW TO PORT A FAMILY
//
// 1. Add families/<name>.cpp (siblings may share a file). Nothing else: CMake picks the file up, REGISTER_FAMILY enters
//    it in the table, and tests/envs/test_engine_oracle.py runs over everything in the table.
// 2. Derive from Family. Declare what the code reads as members: `Body`, `Geom`, `Site`, `Joint` are looked up by name
//    when the family meets its model; `Constant<N>` / `Scalar` is an attribute of Meta-World's own env object, read
//    right after its reset and held for the episode. `target_pos` (the attribute `_target_pos`) is always there.
// 3. `objects`: one `add(pos, quat)` per object, from `_get_pos_objects` and `_get_quat_objects`.
// 4. `evaluate`: the v2 branch of `compute_reward` and then `evaluate_state`. `scene.obs` is the clipped observation.
// 5. Build and compare:  pytest tests/envs/test_engine_oracle.py -k <name>   (add `-m slow` for 500 steps per episode).
//
// WATCH OUT FOR
//
// * Live views. Meta-World often keeps a *view* of the simulation where it means a copy: such an attribute is the
//   current value, not the one at reset, and must be read from the scene. `init_left_pad` and `init_right_pad` (all
//   families) are the current pads; `obj_init_pos` is live in door-lock and door-unlock (body lock_link's position),
//   `_target_pos` in bin-picking (body bin_goal) and basketball (site goal): there, override `goal` too. Taking such
//   an attribute as a Constant is refused when the snapshot is taken.
// * float32. Everything computed from the action is float32 in numpy 2, also when a Python float enters. Use `Num`
//   (shaping.hpp) from `scene.effort()` up to the `float(...)` or the end; double elsewhere. What Python or numpy make
//   of min, max and clip is in shaping.hpp. Some constants are float32 arrays: exact as doubles, but an expression of
//   float32 constants alone would be rounded to float32.
// * Keep the order of operations and the brackets; do not simplify. norm() is np.linalg.norm; `x**2` is `x * x`.
// * State that outlives a step (bin-picking's `_target_to_obj_init`) goes into `scene.memory`: one number, NaN at reset.
// * `touching_main_object` is `scene.touching(geom)` with the geom of `_get_id_main_object`.
// * `info["unscaled_reward"]` is the reward in all families and is filled in by the engine.
#pragma once

#include <mujoco/mujoco.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shaping.hpp"
#include "vec.hpp"

namespace metaworld {

constexpr int kObs = 39;     // frame, previous frame, goal
constexpr int kFrame = 18;   // hand (3), gripper opening (1), objects (14)
constexpr int kObjects = 14; // (position, quaternion) per object, zero-padded
constexpr int kAction = 4;   // dx, dy, dz, gripper effort
constexpr int kInfo = 7;     // see kInfoNames
constexpr std::array<const char*, kInfo> kInfoNames = {
    "success", "near_object", "grasp_success", "grasp_reward", "in_place_reward", "obj_to_target", "unscaled_reward"};

// Handles: which element of the model, resolved once per family.
struct Body { int id; };
struct Geom { int id; };
struct Site { int id; };
struct Joint { int qpos; };  // address of its first coordinate
template <int N>
struct Constant { int offset; };
using Scalar = Constant<1>;

// What one step (or reset) yields besides the observation. bool and int entries of Meta-World's info become 0.0 / 1.0.
struct Outcome {
  double reward = 0, success = 0, near_object = 0, grasp_success = 0, grasp_reward = 0, in_place_reward = 0,
         obj_to_target = 0;
};

// The robot's parts, the same in every family.
struct Robot {
  Body hand, left_claw, right_claw, left_pad, right_pad;
  Site left_tip, right_tip;
  Geom left_pad_geom, right_pad_geom;
};

// The simulation after mj_forward, read through handles.
class World {
 public:
  World(const mjModel& model, const mjData& data, const Robot& robot, const double* constants)
      : model(model), data(data), robot(robot), constants_(constants) {}

  Vec3 pos(Body b) const { return read<3>(data.xpos + 3 * b.id); }
  Vec3 pos(Geom g) const { return read<3>(data.geom_xpos + 3 * g.id); }
  Vec3 pos(Site s) const { return read<3>(data.site_xpos + 3 * s.id); }
  Vec4 quat(Body b) const { return read<4>(data.xquat + 4 * b.id); }  // w, x, y, z
  // scipy's Rotation.from_matrix(xmat).as_quat(): x, y, z, w
  Vec4 scipy_quat(Body b) const { return quat_from_matrix(read<9>(data.xmat + 9 * b.id)); }
  Vec4 scipy_quat(Geom g) const { return quat_from_matrix(read<9>(data.geom_xmat + 9 * g.id)); }
  Vec4 scipy_quat(Site s) const { return quat_from_matrix(read<9>(data.site_xmat + 9 * s.id)); }
  double qpos(Joint j) const { return data.qpos[j.qpos]; }

  template <int N>
  Vec<N> operator[](Constant<N> c) const { return read<N>(constants_ + c.offset); }
  double operator[](Scalar c) const { return constants_[c.offset]; }

  Vec3 hand() const { return pos(robot.hand); }  // get_endeff_pos
  Vec3 left_pad() const { return pos(robot.left_pad); }
  Vec3 right_pad() const { return pos(robot.right_pad); }
  Vec3 tcp() const { return (pos(robot.right_tip) + pos(robot.left_tip)) / 2.0; }  // tcp_center
  bool touching(Geom object) const;                                                // touching_object

  const mjModel& model;
  const mjData& data;
  const Robot& robot;

 private:
  const double* constants_;
};

// A world in which an action has just been taken.
class Scene : public World {
 public:
  Scene(const World& world, const double* obs, const float* action, double& memory)
      : World(world), obs(obs), memory(memory), action_(action) {}

  Vec3 obs3(int first) const { return read<3>(obs + first); }  // obs[first:first + 3]
  Vec3 obs_hand() const { return obs3(0); }
  Vec3 obs_object() const { return obs3(4); }  // position of the first object
  double gripper_opening() const { return obs[3]; }
  Num action(int i) const { return Num::single(action_[i]); }
  Num effort() const { return action(3); }
  Gripper gripper() const { return {tcp(), left_pad(), right_pad(), effort()}; }

  const double* obs;  // [39], clipped to the observation space
  double& memory;     // one number that lives as long as the episode, NaN after reset

 private:
  const float* action_;
};

// The objects' part of a frame.
class Objects {
 public:
  explicit Objects(double* out) : out_(out), end_(out + kObjects) {}
  void add(const Vec3& pos, const Vec4& quat);
  void pad();  // zeros up to the end

 private:
  double *out_, *end_;
};

class Family {
 public:
  explicit Family(const mjModel& model);
  virtual ~Family() = default;

  virtual void objects(const World& world, Objects& out) const = 0;
  virtual Outcome evaluate(const Scene& scene) const = 0;
  // The goal as the observation shows it, where it is not hidden.
  virtual Vec3 goal(const World& world) const { return world[target_pos]; }

  struct Attribute { std::string name; int size, offset; };
  const std::vector<Attribute>& attributes() const { return attributes_; }  // what the snapshot must provide
  int num_constants() const { return num_constants_; }
  const Robot& robot() const { return robot_; }

 protected:
  // For member initialisers. Unknown names raise std::invalid_argument.
  Body body(const char* name) const { return {id(mjOBJ_BODY, name)}; }
  Geom geom(const char* name) const { return {id(mjOBJ_GEOM, name)}; }
  Site site(const char* name) const { return {id(mjOBJ_SITE, name)}; }
  Joint joint(const char* name) const { return {model_.jnt_qposadr[id(mjOBJ_JOINT, name)]}; }
  template <int N>
  Constant<N> constant(const char* attribute) { return {add_attribute(attribute, N)}; }
  Constant<3> constant3(const char* attribute) { return constant<3>(attribute); }
  Scalar scalar(const char* attribute) { return constant<1>(attribute); }

 private:
  int id(mjtObj type, const char* name) const;
  int add_attribute(const char* name, int size);

  const mjModel& model_;  // for the look-ups above
  std::vector<Attribute> attributes_;
  int num_constants_ = 0;
  Robot robot_;

 protected:
  const Constant<3> target_pos = constant3("_target_pos");
};

// The table of families. Each family enters itself, so that adding one touches no shared file.
using MakeFamily = std::unique_ptr<Family> (*)(const mjModel&);
std::map<std::string, MakeFamily>& family_table();

#define REGISTER_FAMILY(name, Type)                                                                      \
  [[maybe_unused]] static const bool registered_##Type =                                                 \
      family_table()                                                                                     \
          .emplace(name, [](const mjModel& m) -> std::unique_ptr<Family> { return std::make_unique<Type>(m); }) \
          .second

}  // namespace metaworld
