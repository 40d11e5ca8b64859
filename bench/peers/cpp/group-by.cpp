// Group-by in C++: the algorithm of core/group-table.ts, written for one key type at a time, as one would by
// hand.
//
// Slots are structs with key and accumulators side by side, found by linear probing from the top bits of the
// hash at a load of at most 1/2. The slot holds a tag, and strings of up to 24 bytes; longer ones are in an
// arena. Growth is by doubling. Sums are compensated (TwoSum). Rows go in tiles of 1,024: hash and prefetch,
// then probe and update. Left out are nulls, and any other mix of keys and aggregates. PLAIN: a lean 32-byte
// slot with a plain sum, for a u32 key.
//
//   g++ -O3 -march=native -DKEY=0 group-by.cpp     KEY: 0 u32, 1 i64, 2 utf8, 3 utf8 and i32
//   group-by <dir> <slots at first> <texts of a pair>

#include "contestant.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#ifndef KEY
#define KEY 0
#endif

static const size_t TILE = 1024;

static inline uint32_t mix32(uint32_t h) {
  h ^= h >> 16; h *= 0x85ebca6bu;
  h ^= h >> 13; h *= 0xc2b2ae35u;
  return h ^ (h >> 16);
}
static inline uint64_t fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = (unsigned __int128)a * b;
  return uint64_t(product) ^ uint64_t(product >> 64);
}
static inline uint32_t hashLong(uint64_t key) { return uint32_t((key * 0x9E3779B97F4A7C15ull) >> 32); }

static std::string textOf(uint32_t id) { return "u" + std::to_string(id) + std::string(id % 20, 'x'); }

struct Rows {
  std::vector<double> values;
  std::vector<uint32_t> words;
  std::vector<int64_t> longs;
  std::vector<char> bytes;
  std::vector<uint32_t> offsets;
  std::vector<int32_t> numbers;
};

struct Accumulators {
#ifdef PLAIN
  double sum, min, max;
#else
  int64_t count;
  double sum, rest, min, max;
#endif
};

#if KEY == 0
#ifdef PLAIN
struct Slot { uint32_t key, count; Accumulators a; };
static_assert(sizeof(Slot) == 32, "a lean slot");
#else
struct Slot { uint32_t tag, key; Accumulators a; };
#endif
#elif KEY == 1
struct Slot { uint32_t tag; int64_t key; Accumulators a; };
#elif KEY == 2
struct Slot { uint32_t tag, length; char inlined[24]; Accumulators a; };
#else
struct Slot { uint32_t tag; int32_t number; uint32_t length; char inlined[20]; Accumulators a; };
#endif

/// Blocks are kept and reused: pages are warm from the second run on.
struct Pool {
  std::multimap<size_t, char*> spare;
  char* take(size_t bytes) {
    auto found = spare.find(bytes);
    char* block;
    if (found != spare.end()) { block = found->second; spare.erase(found); }
    else block = static_cast<char*>(std::aligned_alloc(4096, (bytes + 4095) & ~size_t(4095)));
    std::memset(block, 0, bytes);
    return block;
  }
  void give(char* block, size_t bytes) { spare.emplace(bytes, block); }
};

struct GroupBy {
  Rows rows;
  Pool pool;
  Slot* slots = nullptr;
  size_t capacity = 0, first, used = 0;
  int shift = 0;
  std::vector<char> arena;
  double read = 0;

  GroupBy(const std::string& dir, size_t slotsAtFirst, uint32_t textsOfPair) : first(slotsAtFirst) {
    const auto ids = readFile<uint32_t>(dir + "/ids.u32");
    rows.values = readFile<double>(dir + "/values.f64");
    rows.offsets.push_back(0);
    for (uint32_t id : ids) {
      if (KEY == 0) rows.words.push_back(mix32(id));
      if (KEY == 1) rows.longs.push_back(int64_t(uint64_t(mix32(id ^ 0x5bd1e995u) >> 1) << 32 | mix32(id)));
      if (KEY >= 2) {
        const std::string text = textOf(KEY == 3 ? id % textsOfPair : id);
        rows.bytes.insert(rows.bytes.end(), text.begin(), text.end());
        rows.offsets.push_back(rows.bytes.size());
        rows.numbers.push_back(id / textsOfPair);
      }
    }
    rows.bytes.resize(rows.bytes.size() + 32);
  }

  double units() const { return double(rows.values.size()); }

  void before() {
    if (slots) pool.give(reinterpret_cast<char*>(slots), capacity * sizeof(Slot));
    arena.clear();
    used = 0;
    allocate(first);
  }

  void allocate(size_t slotCount) {
    capacity = 1024;
    shift = 22;
    while (capacity < slotCount) { capacity *= 2; shift--; }
    slots = reinterpret_cast<Slot*>(pool.take(capacity * sizeof(Slot)));
  }

  uint32_t hashOf(size_t row) const {
#if KEY == 0
    return hashLong(rows.words[row]);
#elif KEY == 1
    return hashLong(uint64_t(rows.longs[row]));
#else
    const char* text = rows.bytes.data() + rows.offsets[row];
    size_t length = rows.offsets[row + 1] - rows.offsets[row];
    uint64_t hash = 0x9E3779B97F4A7C15ull ^ length;
    while (length > 0) {
      uint64_t word = 0;
      if (length >= 8) { std::memcpy(&word, text, 8); text += 8; length -= 8; }
      else { std::memcpy(&word, text, 8); word &= (1ull << (length * 8)) - 1; length = 0; }
      hash = fold(hash ^ word, 0xD6E8FEB86659FD93ull);
    }
#if KEY == 3
    hash = fold(hash ^ uint32_t(rows.numbers[row]), 0xA0761D6478BD642Full);
#endif
    return uint32_t(hash >> 32);
#endif
  }

  static uint32_t tagOf(uint32_t hash) { return hash | 1; }

  bool isEmpty(const Slot& slot) const {
#ifdef PLAIN
    return slot.count == 0;
#else
    return slot.tag == 0;
#endif
  }

  bool isSame(const Slot& slot, size_t row, uint32_t hash) const {
#if KEY == 0
    return slot.key == rows.words[row];
#elif KEY == 1
    return slot.key == rows.longs[row];
#else
    if (slot.tag != tagOf(hash)) return false;
    const uint32_t length = rows.offsets[row + 1] - rows.offsets[row];
    if (slot.length != length) return false;
#if KEY == 3
    if (slot.number != rows.numbers[row]) return false;
#endif
    return std::memcmp(textOfSlot(slot), rows.bytes.data() + rows.offsets[row], length) == 0;
#endif
  }

#if KEY >= 2
  const char* textOfSlot(const Slot& slot) const {
    if (slot.length <= sizeof slot.inlined) return slot.inlined;
    uint32_t at;
    std::memcpy(&at, slot.inlined, 4);
    return arena.data() + at;
  }
#endif

  void insert(Slot& slot, size_t row, uint32_t hash) {
#ifdef PLAIN
    slot.key = rows.words[row];
    slot.a = { 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity() };
#else
    slot.tag = tagOf(hash);
#if KEY == 0
    slot.key = rows.words[row];
#elif KEY == 1
    slot.key = rows.longs[row];
#else
    const char* text = rows.bytes.data() + rows.offsets[row];
    slot.length = rows.offsets[row + 1] - rows.offsets[row];
    if (slot.length <= sizeof slot.inlined) std::memcpy(slot.inlined, text, slot.length);
    else {
      const uint32_t at = arena.size();
      arena.insert(arena.end(), text, text + slot.length);
      std::memcpy(slot.inlined, &at, 4);
    }
#if KEY == 3
    slot.number = rows.numbers[row];
#endif
#endif
    slot.a = { 0, 0, 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity() };
#endif
    used++;
  }

  static void update(Slot& slot, double value) {
    Accumulators& a = slot.a;
#ifdef PLAIN
    slot.count++;
    a.sum += value;
#else
    a.count++;
    const double sum = a.sum + value, part = sum - a.sum;
    a.rest += (a.sum - (sum - part)) + (value - part);
    a.sum = sum;
#endif
    a.min = std::min(a.min, value);
    a.max = std::max(a.max, value);
  }

  void grow() {
    Slot* former = slots;
    const size_t formerCapacity = capacity;
    allocate(capacity * 2);
    for (size_t i = 0; i < formerCapacity; i++) {
      if (isEmpty(former[i])) continue;
#ifdef PLAIN
      size_t at = hashLong(former[i].key) >> shift;
#else
      size_t at = former[i].tag >> shift; // the lowest bit, which the tag has set, is ignored here
#endif
      while (!isEmpty(slots[at])) at = (at + 1) & (capacity - 1);
      slots[at] = former[i];
    }
    pool.give(reinterpret_cast<char*>(former), formerCapacity * sizeof(Slot));
  }

  void run() {
    uint32_t hashes[TILE];
    const size_t rowCount = rows.values.size();
    for (size_t from = 0; from < rowCount; from += TILE) {
      const size_t count = std::min(TILE, rowCount - from);
      for (size_t i = 0; i < count; i++) {
        hashes[i] = hashOf(from + i);
        __builtin_prefetch(&slots[hashes[i] >> shift], 1);
      }
      for (size_t i = 0; i < count; i++) {
        const size_t row = from + i;
        for (size_t at = hashes[i] >> shift;; at = (at + 1) & (capacity - 1)) {
          if (isEmpty(slots[at])) {
            if (used * 2 >= capacity) { grow(); at = (hashes[i] >> shift) - 1; continue; }
            insert(slots[at], row, hashes[i]);
          } else if (!isSame(slots[at], row, hashes[i])) continue;
          update(slots[at], rows.values[row]);
          break;
        }
      }
    }
    read = 0;
    for (size_t at = 0; at < capacity; at++) {
      if (!isEmpty(slots[at])) read += countOf(slots[at]) + sumOf(slots[at]) + slots[at].a.min + slots[at].a.max;
    }
    if (std::isnan(read)) std::exit(1);
  }

#ifdef PLAIN
  static double countOf(const Slot& slot) { return slot.count; }
  static double sumOf(const Slot& slot) { return slot.a.sum; }
#else
  static double countOf(const Slot& slot) { return double(slot.a.count); }
  static double sumOf(const Slot& slot) { return slot.a.sum + slot.a.rest; }
#endif

  double weightOf(const Slot& slot) const {
#if KEY == 0
    return slot.key % 997;
#elif KEY == 1
    return double(slot.key % 997);
#else
    double weight = slot.length * 16.0 + textOfSlot(slot)[1] - 48;
#if KEY == 3
    weight += slot.number;
#endif
    return weight;
#endif
  }

  std::vector<double> digest() const {
    std::vector<double> n(9, 0.0);
    for (size_t at = 0; at < capacity; at++) {
      const Slot& slot = slots[at];
      if (isEmpty(slot)) continue;
      const double weight = weightOf(slot), of[] = { countOf(slot), sumOf(slot), slot.a.min, slot.a.max };
      n[0]++;
      for (int i = 0; i < 4; i++) { n[1 + i] += of[i]; n[5 + i] += weight * of[i]; }
    }
    return n;
  }
};

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  GroupBy contest(argv[1], std::strtoull(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
  return contestant(contest);
}
