// Many simulations of one robot, each with model parameters of its own, stepped together. Knows no task and no reward:
// it takes actions in and gives numbers of mjData ("features") out.
#pragma once

#include <mujoco/mujoco.h>

#include <memory>
#include <string>
#include <vector>

#include "../../native/parameters.hpp"
#include "../../native/physics.hpp"
#include "../../native/pool.hpp"

namespace mjcf {

// A named array of mjData that can be read after a step.
struct Feature {
  const char* name;
  physics::Size size;
  mjtNum* mjData::*array;
};

// A robot's model and what is read from it and changed in it. `owner` keeps the memory behind `model` alive.
struct Robot {
  Robot(const Robot&) = delete;  // `model` may point into it
  Robot(const mjModel* model, std::shared_ptr<void> owner, int substeps, const std::vector<std::string>& features,
        const std::vector<std::string>& parameters, bool up_to_date);

  std::vector<std::pair<std::string, int>> feature_sizes() const;
  std::vector<std::pair<std::string, int>> parameter_sizes() const;
  std::vector<double> values() const { return physics::values(parameters, model); }
  int num_features() const;
  int num_parameters() const;

  std::shared_ptr<void> owner;
  mjModel model;  // struct copy: shares all arrays with the original
  int substeps;   // physics steps per environment step
  std::vector<Feature> features;
  std::vector<physics::Parameter> parameters;
  bool reads_contact_forces;  // these cost a pass of their own
  // Places of bodies, geoms and sites follow qpos before they are read, and what is read of a simulation that has blown
  // up is NaN. Otherwise they are those of the last physics step's beginning, and a blow-up goes unseen, as with mj_step.
  bool up_to_date;
  std::vector<mjtByte> same_frame;  // zeros
  size_t scratch_bytes;
};

class Engine {
 public:
  Engine(std::shared_ptr<const Robot> robot, int size, int threads);

  int size() const { return static_cast<int>(slots_.size()); }
  int threads() const { return pool_.threads(); }
  const Robot& robot() const { return *robot_; }

  // Environment `i` runs on the model with these `parameters` [num_parameters] from its next reset on.
  void assign(int i, const std::vector<double>& parameters);

  // Resets the environments in `mask` [size] to their rows of `qpos` [size, nq] and `qvel` [size, nv] and writes their
  // rows of `features` [size, num_features].
  void reset(const bool* mask, const double* qpos, const double* qvel, double* features);

  // Steps the environments in `active` [size] with their rows of `ctrl` [size, nu] and writes their rows of `features`.
  void step(const double* ctrl, const bool* active, double* features);

  // The integration state of environment `i`, which must have been reset: all that it needs to go on.
  std::vector<double> state(int i) const;

  // Environment `i` goes on, with the parameters that it was assigned, from the `state` of another one.
  void load(int i, const std::vector<double>& state);

 private:
  struct Slot {
    std::vector<double> next, parameters;  // from the next reset on; now
    mjModel model;                         // struct copy that points into `parameters`
    physics::Simulation simulation;
    bool started = false;
  };

  void take_parameters(Slot& slot) const;
  void start(Slot& slot, const double* qpos, const double* qvel, double* features) const;
  void read(const Slot& slot, double* features) const;
  void require_started(const bool* mask) const;

  const std::shared_ptr<const Robot> robot_;
  std::vector<Slot> slots_;
  Pool pool_;  // last: its threads end before the slots do
};

}  // namespace mjcf
