#include "engine.hpp"

#include <algorithm>
#include <stdexcept>

namespace metaworld {
namespace {

void require_size(const char* what, size_t got, size_t expected) {
  if (got != expected) {
    throw std::invalid_argument(std::string(what) + " must have " + std::to_string(expected) + " numbers, got " +
                                std::to_string(got));
  }
}

// SawyerXYZEnv.set_xyz_action and the ctrl of do_simulation: the hand is dragged by a mocap body.
void apply_action(const Workspace& workspace, const float* action, mjData* data) {
  const double gripper = action[3];
  for (int i = 0; i < 3; i++) {
    const float delta = std::min(std::max(action[i], -1.0f), 1.0f) * workspace.action_scale;  // float32, as in numpy
    data->mocap_pos[i] = clip(data->mocap_pos[i] + static_cast<double>(delta), workspace.mocap_low[i],
                              workspace.mocap_high[i]);
  }
  const double down[4] = {1, 0, 1, 0};
  std::copy_n(down, 4, data->mocap_quat);
  data->ctrl[0] = gripper;
  data->ctrl[1] = -gripper;
}

// SawyerXYZEnv._get_curr_obs_combined_no_goal
void write_frame(const World& world, const Family& family, double* frame) {
  const Vec3 hand = world.hand();
  std::copy_n(hand.v, 3, frame);
  frame[3] = clip(norm(world.pos(world.robot.right_claw) - world.pos(world.robot.left_claw)) / 0.1, 0.0, 1.0);
  Objects objects(frame + 4);
  family.objects(world, objects);
  objects.pad();
}

void write_info(const Outcome& outcome, double* info) {
  const double row[kInfo] = {outcome.success,      outcome.near_object,     outcome.grasp_success,
                             outcome.grasp_reward, outcome.in_place_reward, outcome.obj_to_target,
                             outcome.reward};
  std::copy_n(row, kInfo, info);
}

}  // namespace

FamilyModel::FamilyModel(const std::string& name, const mjModel* source, std::shared_ptr<void> owner,
                         const Workspace& workspace, const std::vector<std::string>& parameters)
    : name(name),
      owner(std::move(owner)),
      model(physics::lean(*source)),
      workspace(workspace),
      parameters(physics::pick(physics::kParameters, parameters)) {
  const auto found = family_table().find(name);
  if (found == family_table().end()) throw std::invalid_argument("the native engine has no family " + name);
  if (model.nmocap != 1 || model.nu != 2) throw std::invalid_argument(name + ": expected 1 mocap body and 2 actuators");
  family = found->second(*source);  // names are found by way of the counts that lean() changes
}

Task::Task(std::shared_ptr<const FamilyModel> source, std::vector<double> body_pos, std::vector<double> site_pos,
           std::vector<double> state, std::vector<double> constants, const std::array<double, kObs>& observation)
    : family_model(std::move(source)),
      body_pos(std::move(body_pos)),
      site_pos(std::move(site_pos)),
      state(std::move(state)),
      constants(std::move(constants)),
      observation(observation),
      model(family_model->model) {
  require_size("body_pos", this->body_pos.size(), 3 * model.nbody);
  require_size("site_pos", this->site_pos.size(), 3 * model.nsite);
  require_size("state", this->state.size(), mj_stateSize(&model, physics::kState));
  require_size("constants", this->constants.size(), family_model->family->num_constants());
  model.body_pos = this->body_pos.data();
  model.site_pos = this->site_pos.data();
}

Task::Task(const Task& task, std::vector<double> parameters)
    : Task(task.family_model, task.body_pos, task.site_pos, task.state, task.constants, task.observation) {
  physics::require_total(family_model->parameters, model, parameters.size());
  this->parameters = std::move(parameters);
  physics::point(model, family_model->parameters, this->parameters.data());
}

void Engine::reset(const bool* mask, double* observation) {
  for (int i = 0; i < size(); i++) {
    if (mask[i] && !slots_[i].next) throw std::logic_error("environment " + std::to_string(i) + " has no task");
  }
  // In this thread: it takes microseconds, and the allocation of simulations may throw.
  for (int i = 0; i < size(); i++) {
    if (mask[i]) start(slots_[i], observation + kObs * i);
  }
}

void Engine::start(Slot& slot, double* observation) const {
  const Task& task = *slot.next;
  slot.simulation.load(&task.model, task.family_model.get(), task.state.data());
  slot.task = slot.next;  // only now: the simulation must never outlive its model
  std::copy_n(task.observation.data(), kFrame, slot.previous.data());
  slot.memory = std::numeric_limits<double>::quiet_NaN();
  std::copy(task.observation.begin(), task.observation.end(), observation);
  if (!goal_visible_) std::fill_n(observation + 2 * kFrame, 3, 0.0);
}

void Engine::step(const float* action, const bool* active, double* observation, double* reward, double* info) {
  for (int i = 0; i < size(); i++) {
    if (active[i] && !slots_[i].task) throw std::logic_error("environment " + std::to_string(i) + " was never reset");
  }
  pool_.for_each(size(), [&](int i) {
    if (active[i]) advance(slots_[i], action + kAction * i, observation + kObs * i, reward + i, info + kInfo * i);
  });
}

// SawyerXYZEnv.step.
void Engine::advance(Slot& slot, const float* action, double* observation, double* reward, double* info) const {
  const FamilyModel& fm = *slot.task->family_model;
  physics::Simulation& simulation = slot.simulation;
  apply_action(fm.workspace, action, simulation.data());
  const Outcome outcome = simulation.advance(fm.workspace.frame_skip, [&] {
    const World world(*simulation.model(), *simulation.data(), fm.family->robot(), slot.task->constants.data());
    observe(slot, world, observation);
    return fm.family->evaluate(Scene(world, observation, action, slot.memory));
  });
  *reward = outcome.reward;
  write_info(outcome, info);
}

// Writes the clipped observation. The frame kept for the next step is the one before clipping.
void Engine::observe(Slot& slot, const World& world, double* observation) const {
  const FamilyModel& fm = *slot.task->family_model;
  write_frame(world, *fm.family, observation);
  std::copy_n(slot.previous.data(), kFrame, observation + kFrame);
  std::copy_n(observation, kFrame, slot.previous.data());
  for (int i = 0; i < 2 * kFrame; i++) observation[i] = clip(observation[i], fm.workspace.low[i], fm.workspace.high[i]);
  const Vec3 goal = goal_visible_ ? fm.family->goal(world) : Vec3{0, 0, 0};
  for (int i = 0; i < 3; i++) {
    const int k = 2 * kFrame + i;
    observation[k] = goal_visible_ ? clip(goal[i], fm.workspace.low[k], fm.workspace.high[k]) : 0.0;
  }
}

std::vector<double> Engine::state(int i) const {
  const Slot& slot = slots_.at(i);
  if (!slot.task) throw std::logic_error("environment " + std::to_string(i) + " was never reset");
  return physics::get_state(slot.simulation.model(), slot.simulation.data());
}

std::vector<double> Engine::save(int i) const {
  std::vector<double> saved = state(i);
  const Slot& slot = slots_[i];
  saved.insert(saved.end(), slot.previous.begin(), slot.previous.end());
  saved.push_back(slot.memory);
  return saved;
}

void Engine::load(int i, const std::vector<double>& saved) {
  Slot& slot = slots_.at(i);
  if (!slot.next) throw std::logic_error("environment " + std::to_string(i) + " has no task");
  const size_t size = slot.next->state.size();
  require_size("what was saved", saved.size(), size + kFrame + 1);
  slot.simulation.load(&slot.next->model, slot.next->family_model.get(), saved.data());
  slot.task = slot.next;  // only now: the simulation must never outlive its model
  std::copy_n(saved.data() + size, kFrame, slot.previous.data());
  slot.memory = saved.back();
}

}  // namespace metaworld
