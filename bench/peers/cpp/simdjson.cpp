// The decode cases with simdjson's on-demand parser: one document per message, its fields by name in any
// order, into columns.
//
//   g++ -O3 -march=native simdjson.cpp -lsimdjson
//   simdjson <dir>

#include "contestant.h"
#include <simdjson.h>
#include <string_view>

struct Decode {
  simdjson::padded_string json;
  std::vector<size_t> starts, ends;
  simdjson::ondemand::parser parser;
  std::vector<double> ms;
  std::vector<int64_t> at;
  std::vector<uint8_t> ok;
  std::vector<char> text[3];
  std::vector<uint32_t> offsets[3];

  explicit Decode(const std::string& dir) {
    json = simdjson::padded_string::load(dir + "/messages.ndjson");
    const char* bytes = json.data();
    for (size_t from = 0; from < json.size();) {
      const size_t end = static_cast<const char*>(std::memchr(bytes + from, '\n', json.size() - from)) - bytes;
      starts.push_back(from);
      ends.push_back(end);
      from = end + 1;
    }
    ms.resize(starts.size());
    at.resize(starts.size());
    ok.resize(starts.size());
    for (int c = 0; c < 3; c++) { text[c].resize(json.size()); offsets[c].assign(starts.size() + 1, 0); }
  }

  double units() const { return double(starts.size()); }
  void before() {}

  void put(int column, size_t row, std::string_view value) {
    const uint32_t from = offsets[column][row];
    std::memcpy(text[column].data() + from, value.data(), value.size());
    offsets[column][row + 1] = from + value.size();
  }

  void run() {
    for (size_t row = 0; row < starts.size(); row++) {
      const size_t from = starts[row];
      const simdjson::padded_string_view view(json.data() + from, ends[row] - from, json.size() + simdjson::SIMDJSON_PADDING - from);
      simdjson::ondemand::document document = parser.iterate(view);
      simdjson::ondemand::object object = document.get_object();
      for (auto field : object) {
        // Compared without unescaping: none of the keys has an escape.
        const simdjson::ondemand::raw_json_string key = field.key();
        if (key == "page") put(0, row, field.value().get_string());
        else if (key == "user") put(1, row, field.value().get_string());
        else if (key == "ms") ms[row] = field.value().get_double();
        else if (key == "at") at[row] = field.value().get_int64();
        else if (key == "ref") put(2, row, field.value().get_string());
        else if (key == "ok") ok[row] = bool(field.value().get_bool());
      }
    }
  }

  std::vector<double> digest() const {
    std::vector<double> n(6, 0.0);
    for (size_t row = 0; row < starts.size(); row++) {
      n[0]++;
      double last = 0;
      for (int c = 0; c < 3; c++) {
        n[1] += offsets[c][row + 1] - offsets[c][row];
        last += (1 + 2 * c) * text[c][offsets[c][row + 1] - 1];
      }
      n[2] += last * (1 + (row + 1) % 7);
      n[3] += ms[row];
      n[4] += double(at[row] - 1767225600000);
      n[5] += ok[row] ? double((row + 1) % 1001) : 0;
    }
    return n;
  }
};

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Decode contest(argv[1]);
  return contestant(contest);
}
