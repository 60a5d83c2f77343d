#include "family.hpp"

#include <algorithm>
#include <stdexcept>

namespace metaworld {

std::map<std::string, MakeFamily>& family_table() {
  static std::map<std::string, MakeFamily> table;  // inside a function: made before the first family enters itself
  return table;
}

Family::Family(const mjModel& model)
    : model_(model),
      robot_{body("hand"),         body("leftclaw"),         body("rightclaw"),     body("leftpad"),      body("rightpad"),
             site("leftEndEffector"), site("rightEndEffector"), geom("leftpad_geom"), geom("rightpad_geom")} {}

int Family::id(mjtObj type, const char* name) const {
  const int id = mj_name2id(&model_, type, name);
  if (id < 0) throw std::invalid_argument(std::string("the model has no ") + mju_type2Str(type) + " named " + name);
  return id;
}

int Family::add_attribute(const char* name, int size) {
  attributes_.push_back({name, size, num_constants_});
  num_constants_ += size;
  return attributes_.back().offset;
}

void Objects::add(const Vec3& pos, const Vec4& quat) {
  if (end_ - out_ < 7) throw std::length_error("an observation holds two objects");
  out_ = std::copy_n(pos.v, 3, out_);
  out_ = std::copy_n(quat.v, 4, out_);
}

void Objects::pad() { std::fill(out_, end_, 0.0); }

// True when both pads press on the object. The force of a pad is the sum, over its contacts with the object, of the
// first constraint row of each contact.
bool World::touching(Geom object) const {
  double force[2] = {0, 0};
  const int pads[2] = {robot.left_pad_geom.id, robot.right_pad_geom.id};
  for (int i = 0; i < data.ncon; i++) {
    const mjContact& contact = data.contact[i];
    const auto involves = [&](int geom) { return contact.geom[0] == geom || contact.geom[1] == geom; };
    if (!involves(object.id)) continue;
    // Meta-World indexes with -1 where a contact has no constraint row, and so reads the last row.
    const int row = contact.efc_address >= 0 ? contact.efc_address : data.nefc - 1;
    for (int side = 0; side < 2; side++) {
      if (involves(pads[side]) && row >= 0) force[side] += data.efc_force[row];
    }
  }
  return 0 < force[0] && 0 < force[1];
}

}  // namespace metaworld
