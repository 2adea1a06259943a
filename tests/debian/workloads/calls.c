// What the kernel is asked for: its shortest system call, processes, messages between two of them, fresh pages.
//
// Usage: calls getppid|fork|pipe|fault TIMES

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void require(int holds, const char *what) {
    if (!holds) {
        perror(what);
        exit(1);
    }
}

// The library keeps no number that the kernel could be asked for.
static long getppids(long times) {
    long same = 0, parent = getppid();
    while (times-- > 0)
        same += syscall(SYS_getppid) == parent;
    return same;
}

// Each child becomes this program anew, which was called by its whole path, and leaves at once.
static long forks(long times, char *program) {
    long ended = 0;
    while (times-- > 0) {
        pid_t child = fork();
        require(child >= 0, "fork");
        if (child == 0) {
            execl(program, program, "exit", (char *)NULL);
            _exit(127);
        }
        int status = -1;
        require(waitpid(child, &status, 0) == child, "waitpid");
        ended += WIFEXITED(status) && WEXITSTATUS(status) == 42;
    }
    return ended;
}

static void answer(int from, int to) {
    uint64_t number;
    while (read(from, &number, sizeof number) == sizeof number) {
        number++;
        require(write(to, &number, sizeof number) == sizeof number, "write");
    }
    _exit(0);
}

// A number goes to another process and comes back greater by one.
static long pipes(long times) {
    int there[2], back[2];
    require(pipe(there) == 0 && pipe(back) == 0, "pipe");
    pid_t child = fork();
    require(child >= 0, "fork");
    if (child == 0) {
        close(there[1]);
        answer(there[0], back[1]);
    }
    uint64_t number = 0;
    while (times-- > 0) {
        require(write(there[1], &number, sizeof number) == sizeof number, "write");
        require(read(back[0], &number, sizeof number) == sizeof number, "read");
    }
    close(there[1]);
    require(waitpid(child, NULL, 0) == child, "waitpid");
    return (long)number;
}

// A megabyte is mapped, each of its pages written, and given back. Small pages everywhere, whatever the kernel's
// defaults are.
static long faults(long times) {
    enum { SIZE = 1 << 20, PAGE = 1 << 12 };
    long sum = 0;
    while (times-- > 0) {
        char *area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        require(area != MAP_FAILED, "mmap");
        madvise(area, SIZE, MADV_NOHUGEPAGE);
        for (int at = 0; at < SIZE; at += PAGE) {
            sum += area[at] == 0;
            area[at] = 1;
        }
        require(munmap(area, SIZE) == 0, "munmap");
    }
    return sum;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long times = argc > 2 ? atol(argv[2]) : 1;
    if (strcmp(what, "exit") == 0)
        return 42;
    long result;
    if (strcmp(what, "getppid") == 0)
        result = getppids(times);
    else if (strcmp(what, "fork") == 0)
        result = forks(times, argv[0]);
    else if (strcmp(what, "pipe") == 0)
        result = pipes(times);
    else if (strcmp(what, "fault") == 0)
        result = faults(times);
    else {
        fprintf(stderr, "usage: calls getppid|fork|pipe|fault TIMES\n");
        return 2;
    }
    printf("%s %ld\n", what, result);
    return result < times;
}
