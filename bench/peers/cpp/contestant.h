// The protocol of bench/contestant.ts for a program: a contest is a struct with units(), before(), run() and
// digest().
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

template <class T> std::vector<T> readFile(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) { std::perror(path.c_str()); std::exit(1); }
  std::fseek(file, 0, SEEK_END);
  std::vector<T> items(std::ftell(file) / sizeof(T));
  std::rewind(file);
  if (std::fread(items.data(), sizeof(T), items.size(), file) != items.size()) std::exit(1);
  std::fclose(file);
  return items;
}

template <class Contest> int contestant(Contest& contest) {
  std::puts("@ready");
  std::fflush(stdout);
  char line[256];
  while (std::fgets(line, sizeof line, stdin)) {
    double least;
    if (std::sscanf(line, "run %lf", &least) != 1) continue;
    double seconds = 0, cpuSeconds = 0, units = 0;
    do {
      contest.before();
      const std::clock_t cpu = std::clock();
      const auto start = std::chrono::steady_clock::now();
      contest.run();
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      cpuSeconds += double(std::clock() - cpu) / CLOCKS_PER_SEC;
      units += contest.units();
    } while (seconds < least);
    std::printf("@{\"units\":%.17g,\"seconds\":%.17g,\"cpuSeconds\":%.17g,\"digest\":[", units, seconds, cpuSeconds);
    const char* comma = "";
    for (double number : contest.digest()) { std::printf("%s%.17g", comma, number); comma = ","; }
    std::puts("]}");
    std::fflush(stdout);
  }
  return 0;
}
