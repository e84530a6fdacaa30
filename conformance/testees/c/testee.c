/*
 * A testee for the conformance kit of refquant, written from its page (conformance/README.md) alone:
 * it reads requests from standard input and writes answers to standard output, one JSON object a line.
 * To prove a backend of your own, let the functions under "The operations" call it.
 *
 *     make && refquant conformance run -- ./testee
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With wider intermediate results (x87) sums and products would be rounded twice. */
_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1, "needs arithmetic in true binary64");

#define SPACE " \t\r"
#define NO_INDEX SIZE_MAX
#define SIZE_LIMIT ((size_t)1 << 28) /* so that a count of bits fits in 32-bit sizes, too */

/* The kinds of list, by their hexadecimal digits an element. */
enum kind { BYTE = 2, NUMBER = 8 };

/* Codes, bytes and binary32 numbers are all exact in binary64: one kind of list does for them. */
struct list {
    size_t count;
    double *at;
};

struct block {
    struct block *next;
    double elements[];
};

/* One request at work. Its first error stays and suppresses results, so an operation may get all
 * its inputs and then ask once whether any was refused; it gives results last of all. */
struct job {
    const char *request;
    struct block *blocks;
    int given;           /* results, so far */
    const char *refused; /* what is wrong, or NULL */
    const char *culprit; /* the input that it is wrong with */
    size_t index;
};

static void refuse(struct job *job, const char *culprit, size_t index, const char *message) {
    if (job->refused == NULL) {
        job->refused = message;
        job->culprit = culprit;
        job->index = index;
    }
}

static void *check_memory(void *memory) {
    if (memory == NULL) {
        fputs("testee: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

/* A list that is freed with the job. */
static struct list new_list(struct job *job, size_t count, double value) {
    struct block *block = check_memory(malloc(sizeof *block + count * sizeof(double)));
    block->next = job->blocks;
    job->blocks = block;
    for (size_t i = 0; i < count; i++)
        block->elements[i] = value;
    return (struct list){count, block->elements};
}

/* ---- Reading requests ---- */

static const char *skip_space(const char *text) {
    return text + strspn(text, SPACE);
}

/* The value of a key, or "". Strings hold no quotes and all keys of a request differ, so a quoted
 * key before a colon is the one that is sought, however deep it is: no parser is needed. */
static const char *find(const char *request, const char *key) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    for (const char *text = strstr(request, quoted); text != NULL; text = strstr(text, quoted)) {
        text = skip_space(text + strlen(quoted));
        if (*text == ':')
            return skip_space(text + 1);
    }
    return "";
}

static bool is_string(const char *value, const char *string) {
    size_t length = strlen(string);
    return *value == '"' && strncmp(value + 1, string, length) == 0 && value[1 + length] == '"';
}

/* The whole number from 0 to `most` at *text, which moves on past it; -1 if there is none. */
static long long read_whole(const char **text, double most) {
    char *end;
    double number = strtod(*text, &end);
    bool good = **text >= '0' && **text <= '9' && strchr(SPACE ",]}", *end) != NULL;
    *text = skip_space(end);
    return good && number <= most && number == floor(number) ? (long long)number : -1;
}

static size_t get_size(struct job *job, const char *name, size_t least, size_t most) {
    const char *value = find(job->request, name);
    long long size = read_whole(&value, (double)most);
    if (size >= 0 && (size_t)size >= least)
        return (size_t)size;
    refuse(job, name, NO_INDEX, "missing, or not a whole number in its range");
    return least;
}

static struct list get_list(struct job *job, const char *name, enum kind kind) {
    const char *value = find(job->request, name);
    size_t length = *value == '"' ? strspn(value + 1, "0123456789abcdefABCDEF") : 0;
    if (*value != '"' || value[1 + length] != '"' || length % kind != 0) {
        refuse(job, name, NO_INDEX, "missing, or not whole elements of hexadecimal digits");
        length = 0;
    }
    struct list list = new_list(job, length / kind, 0);
    for (size_t i = 0; i < list.count; i++) {
        uint32_t bits = 0;
        for (int k = 0; k < (int)kind; k++) {
            char digit = *++value;
            bits = bits << 4 | (uint32_t)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
        }
        float number = (float)bits;
        if (kind == NUMBER)
            memcpy(&number, &bits, sizeof number);
        if (!isfinite(number))
            refuse(job, name, i, "not finite");
        list.at[i] = number;
    }
    return list;
}

/* A tensor as (outer, channels, inner), the last dimension running fastest. */
struct shape {
    size_t outer, channels, inner;
};

static struct shape get_shape(struct job *job, size_t count) {
    struct shape shape = {get_size(job, "outer", 0, SIZE_LIMIT),
                          get_size(job, "channels", 0, SIZE_LIMIT),
                          get_size(job, "inner", 0, SIZE_LIMIT)};
    /* In binary64, where the product cannot wrap around. */
    if ((double)shape.outer * (double)shape.channels * (double)shape.inner != (double)count)
        refuse(job, "shape", NO_INDEX, "not filled exactly");
    return shape;
}

static size_t channel_of(struct shape shape, size_t i) {
    return i / shape.inner % shape.channels;
}

/* Writes a part of the result. Encoders compute in binary64; numbers are rounded here. */
static void give_list(struct job *job, const char *name, enum kind kind, struct list list) {
    if (job->refused != NULL)
        return;
    printf("%s\"%s\": \"", job->given++ == 0 ? "\"result\": {" : ", ", name);
    for (size_t i = 0; i < list.count; i++) {
        float number = (float)list.at[i];
        uint32_t bits;
        if (kind == NUMBER)
            memcpy(&bits, &number, sizeof bits);
        else
            bits = (uint32_t)number;
        printf("%0*lx", (int)kind, (unsigned long)bits);
    }
    putchar('"');
}

static void give_decoded(struct job *job, struct list weights) {
    for (size_t i = 0; i < weights.count; i++)
        if (!isfinite((float)weights.at[i]))
            refuse(job, "codes", i, "stands for more than binary32 holds");
    give_list(job, "weights", NUMBER, weights);
}

/* ---- The operations ---- */

/* The first code has the highest bits of the first byte; zeros fill the last one. */
static void pack(struct job *job) {
    struct list codes = get_list(job, "codes", BYTE);
    size_t nbits = get_size(job, "nbits", 1, 8);
    struct list bytes = new_list(job, (codes.count * nbits + 7) / 8, 0);
    for (size_t i = 0; i < codes.count; i++)
        if (codes.at[i] >= 1 << nbits)
            refuse(job, "codes", i, "does not fit in nbits");
    for (size_t bit = 0; bit < codes.count * nbits; bit++) {
        int set = (int)codes.at[bit / nbits] >> (nbits - 1 - bit % nbits) & 1;
        bytes.at[bit / 8] += set << (7 - bit % 8);
    }
    give_list(job, "bytes", BYTE, bytes);
}

static void unpack(struct job *job) {
    struct list bytes = get_list(job, "bytes", BYTE);
    size_t nbits = get_size(job, "nbits", 1, 8), count = get_size(job, "count", 0, SIZE_LIMIT);
    if (bytes.count != (count * nbits + 7) / 8)
        refuse(job, "bytes", NO_INDEX, "not as many as hold count codes");
    if (job->refused != NULL)
        return;
    struct list codes = new_list(job, count, 0);
    for (size_t bit = 0; bit < count * nbits; bit++) {
        int set = (int)bytes.at[bit / 8] >> (7 - bit % 8) & 1;
        codes.at[bit / nbits] += set << (nbits - 1 - bit % nbits);
    }
    give_list(job, "codes", BYTE, codes);
}

static void half_encode(struct job *job) {
    struct list weights = get_list(job, "weights", NUMBER);
    struct list bytes = new_list(job, 2 * weights.count, 0);
    for (size_t i = 0; i < weights.count && job->refused == NULL; i++) {
        double magnitude = fabs(weights.at[i]);
        if (magnitude >= 65504) /* even the greatest half itself, as the format's own tools do */
            refuse(job, "weights", i, "too large for half precision");
        int exponent;
        frexp(magnitude, &exponent);
        if (exponent < -13 || magnitude == 0)
            exponent = -13; /* zero or subnormal */
        int significand = (int)nearbyint(ldexp(magnitude, 11 - exponent));
        /* A sum, as the leading one of the significand, or its carry, counts up the exponent. */
        int half = ((exponent + 13) << 10) + significand;
        bytes.at[2 * i] = half & 255;
        bytes.at[2 * i + 1] = (half >> 8 & 127) + (signbit(weights.at[i]) ? 128 : 0);
    }
    give_list(job, "bytes", BYTE, bytes);
}

static void half_decode(struct job *job) {
    struct list bytes = get_list(job, "bytes", BYTE);
    if (bytes.count % 2 != 0)
        refuse(job, "bytes", NO_INDEX, "an odd number of them");
    struct list weights = new_list(job, bytes.count / 2, 0);
    for (size_t i = 0; i < weights.count; i++) {
        int half = (int)bytes.at[2 * i] + 256 * (int)bytes.at[2 * i + 1];
        int exponent = half >> 10 & 31, fraction = half & 1023;
        double magnitude = ldexp(1024 + fraction, exponent - 25);
        if (exponent == 0) /* zero or subnormal */
            magnitude = ldexp(fraction, -24);
        else if (exponent == 31)
            refuse(job, "bytes", i, "not finite");
        weights.at[i] = half >> 15 ? -magnitude : magnitude;
    }
    give_list(job, "weights", NUMBER, weights);
}

enum encoding { LINEAR, SYMMETRIC, TABLE };

/* Codes and tables come from the scale and bias in binary64, not from those rounded to store. */
static void encode(struct job *job, enum encoding encoding) {
    struct list weights = get_list(job, "weights", NUMBER);
    struct shape shape = {1, 1, weights.count};
    if (encoding != TABLE)
        shape = get_shape(job, weights.count);
    size_t nbits = encoding == SYMMETRIC ? 8 : get_size(job, "nbits", 1, 8);
    if (weights.count == 0)
        refuse(job, "weights", NO_INDEX, "empty");
    if (job->refused != NULL)
        return;
    struct list least = new_list(job, shape.channels, INFINITY);
    struct list greatest = new_list(job, shape.channels, -INFINITY);
    for (size_t i = 0; i < weights.count; i++) {
        size_t c = channel_of(shape, i);
        least.at[c] = fmin(least.at[c], weights.at[i]);
        greatest.at[c] = fmax(greatest.at[c], weights.at[i]);
    }
    struct list scales = new_list(job, shape.channels, 0);
    struct list biases = new_list(job, shape.channels, 0);
    int last = (1 << nbits) - 1;
    for (size_t c = 0; c < shape.channels; c++) {
        double a = least.at[c], b = greatest.at[c];
        scales.at[c] = encoding == SYMMETRIC ? fmax(fabs(a), fabs(b)) / 127 : (b - a) / last;
        biases.at[c] = encoding == SYMMETRIC ? -128 * scales.at[c] : a;
        /* A table is made before rounding, all else is decoded from what was stored. */
        double scale = encoding == TABLE ? scales.at[c] : (float)scales.at[c];
        if (!isfinite((float)(last * scale + (float)biases.at[c])))
            refuse(job, "weights", NO_INDEX, "too far apart for binary32 in a channel");
    }
    struct list codes = new_list(job, weights.count, 0);
    for (size_t i = 0; i < weights.count; i++) {
        size_t c = channel_of(shape, i);
        double above = weights.at[i] - biases.at[c], scale = scales.at[c];
        if (scale > 1e-6) /* else the channel is as good as constant: code 0 */
            codes.at[i] = nearbyint(encoding == SYMMETRIC ? above / scale : above * (1 / scale));
    }
    give_list(job, "codes", BYTE, codes);
    if (encoding == TABLE) {
        struct list table = new_list(job, (size_t)1 << nbits, 0);
        for (size_t i = 0; i < table.count; i++)
            table.at[i] = (double)i * scales.at[0] + biases.at[0];
        give_list(job, "table", NUMBER, table);
    } else {
        give_list(job, "scales", NUMBER, scales);
        give_list(job, "biases", NUMBER, biases);
    }
}

static void linear_encode(struct job *job) {
    encode(job, LINEAR);
}

static void symmetric_encode(struct job *job) {
    encode(job, SYMMETRIC);
}

static void linear_lut_encode(struct job *job) {
    encode(job, TABLE);
}

/* Stores the table and the codes that a caller's function returned, if they are well made. */
static void custom_lut_encode(struct job *job) {
    struct list weights = get_list(job, "weights", NUMBER);
    struct list table = get_list(job, "table", NUMBER);
    struct list codes = new_list(job, weights.count, 0);
    size_t nbits = get_size(job, "nbits", 1, 8), count = 0;
    if (table.count != (size_t)1 << nbits)
        refuse(job, "table", NO_INDEX, "not as long as nbits asks for");
    const char *text = find(job->request, "given_codes");
    while ((*text == '[' || *text == ',') && *(text = skip_space(text + 1)) != ']') {
        long long code = read_whole(&text, (1 << nbits) - 1);
        if (code < 0)
            refuse(job, "given_codes", count, "not a code of nbits");
        if (count < codes.count)
            codes.at[count] = (double)code;
        count++;
    }
    if (*text != ']' || count != codes.count)
        refuse(job, "given_codes", NO_INDEX, "not a list with one code a weight");
    give_list(job, "codes", BYTE, codes);
    give_list(job, "table", NUMBER, table);
}

static void lut_decode(struct job *job) {
    struct list codes = get_list(job, "codes", BYTE), table = get_list(job, "table", NUMBER);
    struct list weights = new_list(job, codes.count, 0);
    for (size_t i = 0; i < codes.count; i++) {
        size_t code = (size_t)codes.at[i];
        if (code < table.count)
            weights.at[i] = table.at[code];
        else
            refuse(job, "codes", i, "beyond the table");
    }
    give_list(job, "weights", NUMBER, weights);
}

static void linear_decode(struct job *job) {
    struct list codes = get_list(job, "codes", BYTE);
    struct list scales = get_list(job, "scales", NUMBER);
    struct list biases = get_list(job, "biases", NUMBER);
    struct shape shape = get_shape(job, codes.count);
    if (scales.count != 1 && scales.count != shape.channels)
        refuse(job, "scales", NO_INDEX, "neither one nor one a channel");
    if (biases.count != 0 && biases.count != scales.count)
        refuse(job, "biases", NO_INDEX, "neither none nor as many as the scales");
    if (job->refused != NULL)
        return;
    struct list weights = new_list(job, codes.count, 0);
    for (size_t i = 0; i < codes.count; i++) {
        size_t c = scales.count == 1 ? 0 : channel_of(shape, i);
        weights.at[i] = codes.at[i] * scales.at[c] + (biases.count == 0 ? 0 : biases.at[c]);
    }
    give_decoded(job, weights);
}

static void int8_encode(struct job *job) {
    struct list weights = get_list(job, "weights", NUMBER);
    struct list codes = new_list(job, weights.count, 0);
    double m = 0;
    for (size_t i = 0; i < weights.count; i++)
        m = fmax(m, fabs(weights.at[i]));
    for (size_t i = 0; i < weights.count && m > 0 && job->refused == NULL; i++)
        codes.at[i] = (int)(127 * (weights.at[i] / m)) & 255;
    if (isinf((float)(127 * (double)(float)(m / 127))))
        refuse(job, "weights", NO_INDEX, "code 127 would be read back as an infinity");
    give_list(job, "codes", BYTE, codes);
    give_list(job, "scales", NUMBER, new_list(job, 1, m / 127));
}

static void int8_decode(struct job *job) {
    struct list codes = get_list(job, "codes", BYTE), scales = get_list(job, "scales", NUMBER);
    struct list weights = new_list(job, codes.count, 0);
    if (scales.count != 1)
        refuse(job, "scales", NO_INDEX, "not one");
    for (size_t i = 0; i < codes.count && job->refused == NULL; i++)
        weights.at[i] = (codes.at[i] < 128 ? codes.at[i] : codes.at[i] - 256) * scales.at[0];
    give_decoded(job, weights);
}

/* ---- The protocol ---- */

static const struct operation {
    const char *name;
    void (*run)(struct job *job);
} operations[] = {
    {"pack", pack},
    {"unpack", unpack},
    {"half.encode", half_encode},
    {"half.decode", half_decode},
    {"linear.encode", linear_encode},
    {"linear.decode", linear_decode},
    {"symmetric.encode", symmetric_encode},
    {"linear_lut.encode", linear_lut_encode},
    {"custom_lut.encode", custom_lut_encode},
    {"lut.decode", lut_decode},
    {"int8.encode", int8_encode},
    {"int8.decode", int8_decode},
    {NULL, NULL},
};

static void write_start(void) {
    printf("\"protocol\": 1, \"implementation\": {\"name\": \"c-testee\", \"version\": \"1.0\", "
           "\"language\": \"C\"}, \"operations\": [");
    for (const struct operation *o = operations; o->name != NULL; o++)
        printf("%s\"%s\"", o == operations ? "" : ", ", o->name);
    putchar(']');
}

static void run(struct job *job) {
    const char *name = find(job->request, "operation");
    const struct operation *o = operations;
    while (o->name != NULL && !is_string(name, o->name))
        o++;
    if (o->name == NULL)
        printf("\"skipped\": \"not offered\"");
    else
        o->run(job);
}

static void answer(struct job *job) {
    const char *command = find(job->request, "command"), *seq = find(job->request, "seq");
    printf("{\"seq\": %lld, ", read_whole(&seq, 1LL << 53));
    if (is_string(command, "start"))
        write_start();
    else if (is_string(command, "run"))
        run(job);
    else
        refuse(job, "command", NO_INDEX, "missing or unknown");
    if (job->given > 0)
        putchar('}');
    if (job->refused != NULL) {
        printf("\"error\": {\"message\": \"%s: %s\"", job->culprit, job->refused);
        if (job->index != NO_INDEX)
            printf(", \"index\": %zu", job->index);
        putchar('}');
    }
    printf("}\n");
    fflush(stdout); /* the runner waits for it */
    while (job->blocks != NULL) {
        struct block *next = job->blocks->next;
        free(job->blocks);
        job->blocks = next;
    }
}

/* Reads a line of any length into a buffer that grows; false at the end of the input. */
static bool read_line(char **line, size_t *size) {
    size_t length = 0;
    int byte = getchar();
    if (byte == EOF)
        return false;
    for (; byte != EOF && byte != '\n'; byte = getchar()) {
        (*line)[length++] = (char)byte;
        if (length == *size)
            *line = check_memory(realloc(*line, *size *= 2));
    }
    (*line)[length] = '\0';
    return true;
}

int main(void) {
    size_t size = 4096;
    char *line = check_memory(malloc(size));
    while (read_line(&line, &size) && !is_string(find(line, "command"), "stop")) {
        struct job job = {.request = line};
        answer(&job);
    }
    free(line);
    return EXIT_SUCCESS;
}
