// A small thread pool for one job at a time: `for_each(count, work)` runs work(0) ... work(count - 1), each once.
#pragma once

#ifndef _WIN32
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

class Pool {
 public:
  // `threads` counts the calling thread, which works too; the others start with the first job that needs them.
  explicit Pool(int threads) : threads_(std::max(threads, 1)) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  ~Pool() {
    if (process_ != current_process()) {  // forked: the threads exist in the parent only
      for (auto& worker : workers_) worker.detach();
      signals_.release();  // destroying a condition variable would wait for the threads that slept on it
      return;
    }
    {
      std::lock_guard<std::mutex> lock(signals_->mutex);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    signals_->wake.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  int threads() const { return threads_; }

  // Items are handed out one by one to whoever is free, because their costs differ by a factor of two or more.
  // `work` must not throw. Calls must not overlap.
  template <class Work>
  void for_each(int count, const Work& work) {
    if (process_ != current_process()) {
      throw std::runtime_error("this environment was made before a fork: make a new one in the child process");
    }
    const int helpers = std::min(threads_, count) - 1;
    if (helpers < 1) {
      for (int i = 0; i < count; i++) work(i);
      return;
    }
    while (static_cast<int>(workers_.size()) < threads_ - 1) workers_.emplace_back([this] { serve(); });
    {
      std::lock_guard<std::mutex> lock(signals_->mutex);
      call_ = [](const void* w, int i) { (*static_cast<const Work*>(w))(i); };
      work_ = &work;
      count_ = count;
      next_ = 0;
      open_ = true;
      generation_.fetch_add(1);
    }
    signals_->wake.notify_all();
    drain();
    std::unique_lock<std::mutex> lock(signals_->mutex);
    open_ = false;  // a worker that wakes up only now finds the door shut
    lock.unlock();
    spin([this] { return inside_.load() == 0; });
    lock.lock();
    signals_->idle.wait(lock, [this] { return inside_.load() == 0; });
  }

 private:
  static long current_process() {
#ifdef _WIN32
    return 0;
#else
    return static_cast<long>(getpid());
#endif
  }

  // Waits for `done` as long as a step or a gap between steps usually takes before the caller blocks in the kernel.
  // Yielding keeps this harmless where cores are shared.
  template <class Done>
  static void spin(const Done& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(150);
    while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  }

  void drain() {
    for (int i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) call_(work_, i);
  }

  void serve() {
    unsigned seen = 0;
    for (;;) {
      spin([&] { return generation_.load() != seen; });
      {
        std::unique_lock<std::mutex> lock(signals_->mutex);
        signals_->wake.wait(lock, [&] { return generation_.load() != seen; });
        seen = generation_.load();
        if (stopping_) return;
        if (!open_) continue;
        inside_.fetch_add(1);
      }
      drain();
      std::lock_guard<std::mutex> lock(signals_->mutex);
      if (inside_.fetch_sub(1) == 1) signals_->idle.notify_one();
    }
  }

  const int threads_;
  const long process_ = current_process();
  std::vector<std::thread> workers_;
  struct Signals {
    std::mutex mutex;
    std::condition_variable wake, idle;  // a job or the end has come; no worker is inside any more
  };
  std::unique_ptr<Signals> signals_ = std::make_unique<Signals>();
  std::atomic<unsigned> generation_{0};  // counts jobs; a change wakes the workers
  std::atomic<int> next_{0}, inside_{0};  // next item to hand out; workers now in drain()
  bool open_ = false, stopping_ = false;
  int count_ = 0;
  const void* work_ = nullptr;
  void (*call_)(const void*, int) = nullptr;
};
