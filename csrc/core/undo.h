// Copies of buffers as they were before a recorded step changed them, so that a step that cannot be
// recorded leaves no trace.
#pragma once

#include <cstdint>
#include <vector>

#include "core/memory.h"

namespace ranvier {

// The bytes of a storage of any device, from its place `at` on, to the host and back.
void bytes_to_host(const Storage& s, int64_t at, void* to, int64_t bytes);
void bytes_from_host(Storage& s, int64_t at, const void* from, int64_t bytes);

class UndoLog {
 public:
  void keep(const StoragePtr& s);  // its present contents
  void undo();                     // puts everything back and forgets it
  void forget();

 private:
  struct Piece {
    StoragePtr of;  // whose bytes,
    int64_t at;     // from where on,
    char* copy;     // and where they are kept
    int64_t bytes;
  };
  char* room(int64_t wanted, int64_t* got);  // for at least one of the wanted bytes

  std::vector<Piece> pieces_;
  std::vector<StoragePtr> blocks_;  // what the copies lie in
  char* next_ = nullptr;            // what is left of the last block
  int64_t left_ = 0;
};

}  // namespace ranvier
