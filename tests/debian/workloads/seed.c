// Gives the kernel fixed random bits and has it believe them, so that no workload waits until it has gathered its own:
// without random numbers from the CPU it does that by computing for a second.
//
// Usage: seed

#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(void) {
    struct {
        struct rand_pool_info info;
        unsigned char bytes[64];
    } seed = {{.entropy_count = 512, .buf_size = 64}, "the same in every run"};
    int random = open("/dev/random", O_RDWR);
    if (random < 0 || ioctl(random, RNDADDENTROPY, &seed) != 0) {
        perror("seed");
        return 1;
    }
    return 0;
}
