// One MuJoCo simulation advanced exactly as mj_step does, a little faster. Knows nothing about any task.
#pragma once

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace physics {

// Everything mj_step reads, the solver's warm start included: two simulations that agree on it stay equal for ever.
constexpr unsigned int kState = mjSTATE_INTEGRATION;

inline std::vector<mjtNum> get_state(const mjModel* model, const mjData* data) {
  std::vector<mjtNum> state(mj_stateSize(model, kState));
  mj_getState(model, data, state.data(), kState);
  return state;
}

// MuJoCo's scratch space (contacts, constraints, stack), one per thread rather than one per simulation: it is larger
// than all else that a step touches, and shared it stays in the processor's cache.
class Scratch {
 public:
  static constexpr size_t kBytes = size_t{4} << 20;  // models that are known here ask for far more than any state needs

  // At least `bytes`; what was there before is gone when it grows.
  static void* of_this_thread(size_t bytes) {
    thread_local Scratch scratch;
    if (bytes > scratch.bytes_) {
      scratch.memory_.reset(mju_malloc(bytes));
      scratch.bytes_ = scratch.memory_ ? bytes : 0;
      if (!scratch.memory_) throw std::bad_alloc();
    }
    return scratch.memory_.get();
  }

 private:
  Scratch() : memory_(nullptr, mju_free) {}
  std::unique_ptr<void, void (*)(void*)> memory_;
  size_t bytes_ = 0;
};

// The same model, for an mjData without scratch space of its own and without what no step reads.
inline mjModel lean(const mjModel& model) {
  mjModel copy = model;
  // mj_makeData works in it, before there is any scratch space: on a few rows of ints at a time, none of them longer than
  // these sizes together. Too little would end the process.
  const size_t ints = size_t{0} + copy.nv + copy.nbody + copy.nM + copy.nB + copy.nC + copy.nD;
  copy.narena = (size_t{1} << 13) + 4 * sizeof(int) * ints;
  copy.nlight = 0;  // their poses are for rendering
  if (copy.nsensor > 0) return copy;  // sensors may look through cameras and cast rays
  copy.ncam = 0;
  // A flag per node of the bounding volumes is cleared at every mj_step. Those of the bodies come first; those of the
  // mesh triangles, tens of thousands, are for rays only, and no step casts any.
  if (copy.nflex == 0) {
    int nodes = 0;
    for (int i = 0; i < copy.nbody; i++) {
      if (copy.body_bvhnum[i]) nodes = std::max(nodes, copy.body_bvhadr[i] + copy.body_bvhnum[i]);
    }
    copy.nbvh = copy.nbvhstatic = nodes;
  }
  return copy;
}

// MuJoCo tells of a simulation that blows up on the terminal and in a file of the working directory. Inside the engine
// it does not: what has happened stands in mjData's warnings. Elsewhere it goes on to do as before.
class Quiet {
 public:
  Quiet() { inside() = true; }
  ~Quiet() { inside() = false; }

  // Once per module, when it is imported.
  static void install() {
    before() = mju_user_warning;
    mju_user_warning = [](const char* message) {
      if (inside()) return;
      if (before()) {
        before()(message);
      } else {
        mju_writeLog("WARNING", message);
        std::fprintf(stderr, "WARNING: %s\n\n", message);
      }
    };
  }

 private:
  static bool& inside() {
    thread_local bool value = false;
    return value;
  }
  static void (*&before())(const char*) {
    static void (*handler)(const char*) = nullptr;
    return handler;
  }
};

class Simulation {
 public:
  explicit Simulation(size_t scratch_bytes = Scratch::kBytes) : scratch_bytes_(scratch_bytes) {}

  // Points the simulation at `model`, a lean one, and sets the whole state. Models of one `layout` (any key that is
  // equal only for models with the same sizes) share the mjData, so changing between them allocates nothing.
  void load(const mjModel* model, const void* layout, const mjtNum* state) {
    bind(model, layout);
    for (mjWarningStat& warning : data_->warning) warning.number = 0;
    mj_setState(model_, data_.get(), state, kState);
  }

  // The same, with a fresh simulation at `qpos` and `qvel` and everything that mj_forward derives from them. `read`
  // sees the result.
  template <class Read>
  auto start(const mjModel* model, const void* layout, const mjtNum* qpos, const mjtNum* qvel, const Read& read) {
    bind(model, layout);
    const Borrowed scratch(*this);
    mjData* d = data_.get();
    mj_resetData(model_, d);
    std::copy_n(qpos, model_->nq, d->qpos);
    std::copy_n(qvel, model_->nv, d->qvel);
    mj_forward(model_, d);
    return read();
  }

  // `substeps` times mj_step, with the ctrl and mocap pose that stand in `data()`, then mj_forward, which brings all
  // derived quantities up to date with the state. (Its solve also renews the warm start, so it is part of the dynamics
  // wherever the original loop calls it.) `read` sees the result; contacts and constraint forces are gone afterwards.
  template <class Read>
  auto advance(int substeps, const Read& read) {
    return run(substeps, [&] {
      if (plain_) {
        position_and_velocity();
        forces();
      } else {
        mj_forward(model_, data_.get());
      }
      staged_ = plain_;
      return read();
    });
  }

  // `substeps` times mj_step and no more: `read` sees the derived quantities as the last one left them.
  template <class Read>
  auto run(int substeps, const Read& read) {
    const Borrowed scratch(*this);
    for (int i = 0; i < substeps; i++) step();
    return read();
  }

  // Whether the state has never been without sense since `start` or `load`; MuJoCo puts one that has back to its
  // initial pose.
  bool is_sound() const {
    const mjWarningStat* warning = data_->warning;
    return !warning[mjWARN_BADQPOS].number && !warning[mjWARN_BADQVEL].number && !warning[mjWARN_BADQACC].number;
  }

  const mjModel* model() const { return model_; }
  mjData* data() { return data_.get(); }
  const mjData* data() const { return data_.get(); }

 private:
  void bind(const mjModel* model, const void* layout) {
    if (layout != layout_ || !data_) {
      data_.reset(mj_makeData(model));
      if (!data_) throw std::bad_alloc();
      layout_ = layout;
    }
    model_ = model;
    plain_ = is_plain(*model);
    staged_ = false;  // the derived quantities in data_ belong to whatever ran here before
  }

  // Puts the thread's scratch space in place of the simulation's own. What the next step needs of it are the contacts.
  class Borrowed {
   public:
    explicit Borrowed(Simulation& simulation) : s_(simulation), own_(s_.data_->arena), own_bytes_(s_.data_->narena) {
      mjData* d = s_.data_.get();
      d->arena = Scratch::of_this_thread(s_.scratch_bytes_);
      d->narena = s_.scratch_bytes_;
      d->contact = static_cast<mjContact*>(d->arena);
      if (s_.staged_) std::copy(s_.contacts_.begin(), s_.contacts_.end(), d->contact);
      d->parena = s_.staged_ ? s_.contacts_.size() * sizeof(mjContact) : 0;
    }
    ~Borrowed() {
      mjData* d = s_.data_.get();
      if (s_.staged_) s_.contacts_.assign(d->contact, d->contact + d->ncon);
      d->arena = own_;
      d->narena = own_bytes_;
      d->contact = static_cast<mjContact*>(own_);
    }

   private:
    Simulation& s_;
    void* const own_;
    const size_t own_bytes_;
    const Quiet quiet_;
  };

  // Whether mj_step on this model consists of the stages below and nothing else.
  static bool is_plain(const mjModel& m) {
    return m.opt.integrator == mjINT_EULER && m.nflex == 0 && m.ntendon == 0 && m.nsensor == 0 && m.nplugin == 0 &&
           m.opt.enableflags == 0 && !mj_isDual(&m) && !mjcb_control && !mjcb_passive;
  }

  // mj_step, without cameras and lights. Right after `advance`, at the same qpos and qvel, whatever depends on those
  // two alone (inertia, collisions, velocity terms) is still valid: only what ctrl and the mocap pose reach is computed
  // again, the mocap bodies' frames, the constraints, and all that follows. Bit-equal to mj_step.
  void step() {
    const mjModel* m = model_;
    mjData* d = data_.get();
    if (!plain_) {
      mj_step(m, d);
      return;
    }
    mj_checkPos(m, d);
    mj_checkVel(m, d);
    const bool sound = !d->warning[mjWARN_BADQPOS].number && !d->warning[mjWARN_BADQVEL].number;
    if (staged_ && sound) {  // otherwise the check has reset the state: nothing is valid any more
      move_mocap_bodies();
      mj_makeConstraint(m, d);
      mj_referenceConstraint(m, d);
    } else {
      position_and_velocity();
    }
    staged_ = false;
    forces();
    mj_checkAcc(m, d);
    mj_Euler(m, d);
  }

  // The stages of mj_fwdPosition and mj_fwdVelocity that a plain model has.
  void position_and_velocity() {
    const mjModel* m = model_;
    mjData* d = data_.get();
    mj_kinematics(m, d);
    mj_comPos(m, d);
    mj_crb(m, d);
    mj_factorM(m, d);
    mj_collision(m, d);
    mj_makeConstraint(m, d);
    mj_transmission(m, d);
    mj_fwdVelocity(m, d);
  }

  void forces() {
    mj_fwdActuation(model_, data_.get());
    mj_fwdAcceleration(model_, data_.get());
    mj_fwdConstraint(model_, data_.get());
  }

  // What mj_kinematics does to a mocap body; everything else is where it was.
  void move_mocap_bodies() {
    const mjModel* m = model_;
    mjData* d = data_.get();
    for (int i = 1; i < m->nbody; i++) {
      const int mocap = m->body_mocapid[i];
      if (mocap < 0) continue;
      std::copy_n(d->mocap_pos + 3 * mocap, 3, d->xpos + 3 * i);
      std::copy_n(d->mocap_quat + 4 * mocap, 4, d->xquat + 4 * i);
      mju_normalize4(d->xquat + 4 * i);
      mju_quat2Mat(d->xmat + 9 * i, d->xquat + 4 * i);
      mj_local2Global(d, d->xipos + 3 * i, d->ximat + 9 * i, m->body_ipos + 3 * i, m->body_iquat + 4 * i, i,
                      m->body_sameframe[i]);
    }
  }

  struct Delete {
    void operator()(mjData* data) const { mj_deleteData(data); }
  };
  std::unique_ptr<mjData, Delete> data_;
  size_t scratch_bytes_;
  std::vector<mjContact> contacts_;  // after the last `advance`
  const mjModel* model_ = nullptr;
  const void* layout_ = nullptr;
  bool plain_ = false;
  bool staged_ = false;  // what position and velocity stages derive is valid
};

}  // namespace physics
