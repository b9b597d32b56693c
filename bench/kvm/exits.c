/* The fewest steps in which a guest of KVM can be made to exit: what bench/kvm/exits.mjs compares with. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* argv: exit reason to count, number of exits, code as hexadecimal digits, for real mode at 0x1000 */
int main(int argc, char **argv) {
  if (argc != 4) return 2;
  unsigned reason = atoi(argv[1]);
  long exits = atol(argv[2]);
  int kvm = open("/dev/kvm", O_RDWR);
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  uint8_t *memory = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < strlen(argv[3]) / 2; i++) {
    unsigned byte;
    sscanf(argv[3] + 2 * i, "%2x", &byte);
    memory[0x1000 + i] = byte;
  }
  struct kvm_userspace_memory_region region = {.memory_size = 1 << 20, .userspace_addr = (uint64_t)memory};
  ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
  int cpu_fd = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, cpu_fd, 0);
  struct kvm_sregs sregs;
  ioctl(cpu_fd, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  ioctl(cpu_fd, KVM_SET_SREGS, &sregs);
  struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
  ioctl(cpu_fd, KVM_SET_REGS, &regs);
  volatile uint64_t sink = 0;
  double wall = now(), used = cpu();
  for (long n = 0; n < exits; n++) {
    if (ioctl(cpu_fd, KVM_RUN, 0) < 0 || run->exit_reason != reason) {
      printf("exit reason %u\n", run->exit_reason);
      return 1;
    }
    sink += reason == KVM_EXIT_IO ? *((uint8_t *)run + run->io.data_offset) : run->mmio.data[0];
  }
  printf("%.9f %.9f\n", (now() - wall) / exits, (cpu() - used) / exits);
  return 0;
}
