/// What `dist/nccl.cuh` uses of NCCL: ranks of one thread, each with a stream of its own. A group
/// of sends and receives is done when every rank's turn has come to it, and ends for none before
/// all have taken what was sent to them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "emulation/cuda.hpp"

namespace emulation {

struct Message {
  int peer;
  void* data;
  std::size_t bytes;
};

/// A group of every rank.
struct Meeting {
  std::vector<std::vector<Message>> sent;  ///< by each
  std::size_t here = 0, done = 0;
  Mark all_here = std::make_shared<bool>(false), all_done = std::make_shared<bool>(false);
};

struct World {
  std::size_t size = 0;
  std::map<std::size_t, Meeting> meetings;
};

/// A rank's handle.
struct Member {
  std::shared_ptr<World> world;
  int rank = 0;
  std::size_t groups = 0;
  std::vector<Message> sent, received;
  Stream* stream = nullptr;
};

struct Nccl {
  std::map<char, std::weak_ptr<World>> worlds;
  char next = 0;
  bool in_group = false;
  std::vector<Member*> waiting;  ///< that have asked for something in this group
};
inline Nccl& nccl() {
  static Nccl state;
  return state;
}

/// Puts into a member's stream what it has asked for in a group.
inline void meet(Member& member) {
  auto const world = member.world;
  auto& meeting = world->meetings[member.groups++];
  meeting.sent.resize(world->size);
  auto const rank = static_cast<std::size_t>(member.rank);
  auto& items = member.stream->items;
  items.push_back({[world, &meeting, rank, sent = std::exchange(member.sent, {})] {
                     meeting.sent[rank] = sent;
                     *meeting.all_here = ++meeting.here == world->size;
                   },
                   {},
                   {}});
  items.push_back(
      {[world, &meeting, own = member.rank, received = std::exchange(member.received, {})] {
         for (auto const& [peer, data, bytes] : received) {
           auto& sent = meeting.sent[static_cast<std::size_t>(peer)];
           auto const found = std::ranges::find(sent, own, &Message::peer);
           if (found == sent.end()) throw Error{"received what nobody sent"};
           if (found->bytes != bytes) throw Error{"received another size than was sent"};
           if (bytes > 0) std::memcpy(data, found->data, bytes);
           sent.erase(found);
         }
         if (++meeting.done < world->size) return;
         for (auto const& left : meeting.sent) {
           if (!left.empty()) throw Error{"sent what nobody received"};
         }
         *meeting.all_done = true;
       },
       meeting.all_here,
       {}});
  items.push_back({{}, meeting.all_done, {}});
}

}  // namespace emulation

enum ncclResult_t { ncclSuccess, ncclInvalidUsage };
enum ncclDataType_t { ncclFloat, ncclDouble };
using ncclComm_t = emulation::Member*;
struct ncclUniqueId {
  char internal[128];
};

inline char const* ncclGetErrorString(ncclResult_t) {
  return "invalid usage";
}
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  id->internal[0] = ++emulation::nccl().next;
  return ncclSuccess;
}
inline ncclResult_t ncclCommInitRank(ncclComm_t* member, int size, ncclUniqueId id, int rank) {
  auto& known = emulation::nccl().worlds[id.internal[0]];
  auto world = known.lock();
  if (world == nullptr) known = world = std::make_shared<emulation::World>();
  world->size = static_cast<std::size_t>(size);
  *member = new emulation::Member;
  (*member)->world = world;
  (*member)->rank = rank;
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t member) {
  emulation::finish_quietly();
  delete member;
  return ncclSuccess;
}
inline ncclResult_t ncclCommAbort(ncclComm_t member) {
  return ncclCommDestroy(member);
}

inline ncclResult_t ncclGroupStart() {
  emulation::nccl().in_group = true;
  return ncclSuccess;
}
inline ncclResult_t ncclGroupEnd() {
  for (auto* const member : std::exchange(emulation::nccl().waiting, {})) emulation::meet(*member);
  emulation::nccl().in_group = false;
  return ncclSuccess;
}

namespace emulation {

inline ncclResult_t ask(std::vector<Message> Member::*list, Member* member, void const* data,
                        std::size_t count, ncclDataType_t type, int peer, Stream* stream) {
  // Alone, one would wait for a peer that waits for it.
  if (!nccl().in_group || stream->recorded != nullptr) return ncclInvalidUsage;
  member->stream = stream;
  (member->*list)
      .push_back({peer, const_cast<void*>(data),
                  count * (type == ncclDouble ? sizeof(double) : sizeof(float))});
  if (std::ranges::find(nccl().waiting, member) == nccl().waiting.end()) {
    nccl().waiting.push_back(member);
  }
  return ncclSuccess;
}

}  // namespace emulation

inline ncclResult_t ncclSend(void const* data, std::size_t count, ncclDataType_t type, int peer,
                             ncclComm_t member, cudaStream_t stream) {
  return emulation::ask(&emulation::Member::sent, member, data, count, type, peer, stream);
}
inline ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer,
                             ncclComm_t member, cudaStream_t stream) {
  return emulation::ask(&emulation::Member::received, member, data, count, type, peer, stream);
}

// Which GPU is current, and what tells it from others.
inline int current_device = 0;
struct cudaDeviceProp {
  struct {
    char bytes[16];
  } uuid;
};
inline cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  properties->uuid.bytes[15] = static_cast<char>(device);
  return cudaSuccess;
}
