/* Numbers as archives write them. */
#include "tree.h"

#include <string.h>

static bool base256(const uint8_t *field, size_t size, int64_t *value)
{
    /* Bit 7 of the first byte marks the form, bit 6 the sign: two's complement, big endian (GNU tar manual, "Extensions"). */
    bool negative = (field[0] & 0x40) != 0;
    uint64_t number = negative ? UINT64_MAX : 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = field[i];

        if (i == 0) {
            byte = negative ? byte : byte & 0x7f;
        }
        if ((number >> 55) != (negative ? UINT64_MAX >> 55 : 0)) {
            return false;
        }
        number = number << 8 | byte;
    }
    *value = (int64_t)number;
    return (*value < 0) == negative;
}

bool number_field(const uint8_t *field, size_t size, int64_t *value)
{
    size_t i = 0;
    uint64_t number = 0;

    if (field[0] & 0x80) {
        return base256(field, size, value);
    }
    while (i < size && field[i] == ' ') {
        i++;
    }
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        if (number >> 60) {
            return false;
        }
        number = number * 8 + (uint64_t)(field[i] - '0');
    }
    for (; i < size; i++) {
        if (field[i] != ' ' && field[i] != 0) {
            return false;
        }
        if (field[i] == 0) {
            break;
        }
    }
    *value = (int64_t)number;
    return true;
}

bool number_decimal(struct slice text, uint64_t *value)
{
    uint64_t number = 0;

    if (text.size == 0) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || number > (uint64_t)INT64_MAX / 10) {
            return false;
        }
        number = number * 10 + (uint64_t)(text.data[i] - '0');
    }
    *value = number;
    return number <= INT64_MAX;
}

bool number_time(struct slice text, struct timespec *value)
{
    struct slice whole = text;
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t seconds;
    long nanoseconds = 0, unit = 100000000;
    const char *point;

    if (negative) {
        whole.data++;
        whole.size--;
    }
    point = memchr(whole.data, '.', whole.size);
    if (point != NULL) {
        for (const char *digit = point + 1; digit < whole.data + whole.size; digit++, unit /= 10) {
            if (*digit < '0' || *digit > '9') {
                return false;
            }
            nanoseconds += (*digit - '0') * unit;
        }
        whole.size = (size_t)(point - whole.data);
    }
    if (!number_decimal(whole, &seconds)) {
        return false;
    }
    value->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
    value->tv_nsec = nanoseconds;
    if (negative && nanoseconds != 0) {
        value->tv_sec--;
        value->tv_nsec = 1000000000 - nanoseconds;
    }
    return true;
}
