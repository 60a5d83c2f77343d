// Many Meta-World environments, of any mixture of families, stepped together.
#pragma once

#include <mujoco/mujoco.h>

#include <array>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "../../native/parameters.hpp"
#include "../../native/physics.hpp"
#include "../../native/pool.hpp"
#include "family.hpp"

namespace metaworld {

// What SawyerXYZEnv is configured with, per family.
struct Workspace {
  Vec3 mocap_low, mocap_high;          // where the hand may be sent
  float action_scale;                  // metres per unit of action
  int frame_skip;                      // physics steps per environment step
  std::array<double, kObs> low, high;  // bounds of the observation space with the goal visible
};

// A family together with its model. `owner` keeps the memory behind `model` alive.
struct FamilyModel {
  FamilyModel(const std::string& name, const mjModel* model, std::shared_ptr<void> owner, const Workspace& workspace,
              const std::vector<std::string>& parameters);

  std::string name;
  std::shared_ptr<void> owner;
  mjModel model;  // struct copy: shares all arrays with the original
  Workspace workspace;
  std::vector<physics::Parameter> parameters;  // what tasks with dynamics of their own change
  std::unique_ptr<Family> family;
};

// One task of a family, as Meta-World's own reset leaves it. Read-only, so any number of environments share it.
struct Task {
  // `task` with the family's `parameters` [FamilyModel::parameters] set to these; it starts in the same state.
  Task(const Task& task, std::vector<double> parameters);
  Task(std::shared_ptr<const FamilyModel> family_model, std::vector<double> body_pos, std::vector<double> site_pos,
       std::vector<double> state, std::vector<double> constants, const std::array<double, kObs>& observation);
  Task(const Task&) = delete;  // `model` points into the vectors

  std::shared_ptr<const FamilyModel> family_model;
  std::vector<double> body_pos, site_pos;   // all that a goal changes in the model
  std::vector<double> parameters;           // empty: those of the family
  std::vector<double> state;                // physics::kState
  std::vector<double> constants;            // Family::attributes, one after the other
  std::array<double, kObs> observation;     // of the reset, goal visible
  mjModel model;
};

class Engine {
 public:
  Engine(int size, bool goal_visible, int threads) : slots_(size), goal_visible_(goal_visible), pool_(threads) {}

  int size() const { return static_cast<int>(slots_.size()); }
  int threads() const { return pool_.threads(); }

  // Environment `i` runs `task` from its next reset on.
  void assign(int i, std::shared_ptr<const Task> task) { slots_.at(i).next = std::move(task); }

  // Resets the environments in `mask` [size] and writes their rows of `observation` [size, kObs].
  void reset(const bool* mask, double* observation);

  // Steps the environments in `active` [size] with `action` [size, kAction] and writes their rows of `observation`
  // [size, kObs], `reward` [size] and `info` [size, kInfo]. Actions must be finite.
  void step(const float* action, const bool* active, double* observation, double* reward, double* info);

  // The integration state of environment `i`, which must have been reset.
  std::vector<double> state(int i) const;

  // All that environment `i` needs to go on, given its task: `state`, and what outlives a step besides.
  std::vector<double> save(int i) const;

  // Environment `i` goes on from what `save` gave for an environment of the same task, which it was assigned before.
  void load(int i, const std::vector<double>& saved);

 private:
  struct Slot {
    std::shared_ptr<const Task> next, task;
    physics::Simulation simulation;
    std::array<double, kFrame> previous;  // last frame, not clipped
    double memory = std::numeric_limits<double>::quiet_NaN();
  };

  void start(Slot& slot, double* observation) const;
  void advance(Slot& slot, const float* action, double* observation, double* reward, double* info) const;
  void observe(Slot& slot, const World& world, double* observation) const;

  std::vector<Slot> slots_;
  const bool goal_visible_;
  Pool pool_;  // last: its threads end before the slots do
};

}  // namespace metaworld
