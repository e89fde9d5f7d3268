/* A data set for imagefolder: tests/images/make_set DIR CLASSES TRAIN VAL, so many images of each class. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/str.h"
#include "tests/unit/image_rig.h"

int main(int argc, char **argv)
{
    int64_t n[3];

    if (argc != 5 || !str_int(argv[2], 1, 26, &n[0]) || !str_int(argv[3], 1, 1000000, &n[1]) ||
        !str_int(argv[4], 1, 1000000, &n[2])) {
        fprintf(stderr, "usage: make_set DIR CLASSES TRAIN VAL\n");
        return 2;
    }
    image_rig_folders(argv[1], (int)n[0], (int)n[1], (int)n[2], 3);
    return 0;
}
