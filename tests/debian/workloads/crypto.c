// What `openssl speed` measures, a fixed number of times. `openssl speed` itself runs for a time, and what a time is
// differs between a machine that counts instructions and one that does not; only its work can be compared.
//
// Usage: crypto aes|sha|rsa TIMES

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16384 };

static unsigned char block[BLOCK + EVP_MAX_BLOCK_LENGTH];

static void require(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "crypto: %s failed\n", what);
        exit(1);
    }
}

static void print(const char *name, const unsigned char *bytes, size_t length) {
    printf("%s ", name);
    for (size_t i = 0; i < length; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

// AES-128 in CBC, there, and in counter mode: one chain of blocks, and many side by side.
static void aes(long times) {
    static const unsigned char key[16] = "sixteen letters", start[16] = "and as many more";
    const EVP_CIPHER *ciphers[] = {EVP_aes_128_cbc(), EVP_aes_128_ctr()};
    for (int i = 0; i < 2; i++) {
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        require(EVP_EncryptInit_ex(context, ciphers[i], NULL, key, start), "EVP_EncryptInit_ex");
        for (long time = 0; time < times; time++) {
            int length;
            require(EVP_EncryptUpdate(context, block, &length, block, BLOCK) && length == BLOCK, "EVP_EncryptUpdate");
        }
        EVP_CIPHER_CTX_free(context);
    }
    print("aes", block, 32);
}

static void sha(long times) {
    const EVP_MD *digests[] = {EVP_sha256(), EVP_sha512()};
    for (int i = 0; i < 2; i++) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned length;
        require(EVP_DigestInit_ex(context, digests[i], NULL), "EVP_DigestInit_ex");
        for (long time = 0; time < times; time++)
            require(EVP_DigestUpdate(context, block, BLOCK), "EVP_DigestUpdate");
        require(EVP_DigestFinal_ex(context, digest, &length), "EVP_DigestFinal_ex");
        EVP_MD_CTX_free(context);
        print("sha", digest, length);
    }
}

// A key whose primes everybody knows, those of two published groups for Diffie-Hellman: RFC 2409, 6.2 Second Oakley
// Group, and RFC 5114, 2.1 1024-bit MODP Group. No secret is needed to take time.
static EVP_PKEY *known_key(void) {
    BN_CTX *context = BN_CTX_new();
    BIGNUM *p = BN_get_rfc2409_prime_1024(NULL), *q = BN_dup(DH_get0_p(DH_get_1024_160()));
    BIGNUM *n = BN_new(), *e = BN_new(), *d = BN_new(), *p1 = BN_dup(p), *q1 = BN_dup(q), *phi = BN_new();
    BIGNUM *dp = BN_new(), *dq = BN_new(), *qinv = BN_new();
    require(BN_set_word(e, 65537) && BN_mul(n, p, q, context) && BN_sub_word(p1, 1) && BN_sub_word(q1, 1), "BN_mul");
    require(BN_mul(phi, p1, q1, context) && BN_mod_inverse(d, e, phi, context) != NULL, "BN_mod_inverse");
    require(BN_mod(dp, d, p1, context) && BN_mod(dq, d, q1, context), "BN_mod");
    require(BN_mod_inverse(qinv, q, p, context) != NULL, "BN_mod_inverse");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    require(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR1, p) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR2, q) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq) &&
                OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, qinv),
            "OSSL_PARAM_BLD_push_BN");
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    require(EVP_PKEY_fromdata_init(from) > 0, "EVP_PKEY_fromdata_init");
    require(EVP_PKEY_fromdata(from, &key, EVP_PKEY_KEYPAIR, OSSL_PARAM_BLD_to_param(build)) > 0, "EVP_PKEY_fromdata");
    return key;
}

static void rsa(long times) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(known_key(), NULL);
    unsigned char digest[32] = {0}, signature[256];
    require(context != NULL && EVP_PKEY_sign_init(context) > 0, "EVP_PKEY_sign_init");
    while (times-- > 0) {
        size_t length = sizeof signature;
        require(EVP_PKEY_sign(context, signature, &length, digest, sizeof digest) > 0, "EVP_PKEY_sign");
        memcpy(digest, signature, sizeof digest);
    }
    print("rsa", digest, sizeof digest);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    long times = argc > 2 ? atol(argv[2]) : 1;
    if (strcmp(what, "aes") == 0)
        aes(times);
    else if (strcmp(what, "sha") == 0)
        sha(times);
    else if (strcmp(what, "rsa") == 0)
        rsa(times);
    else {
        fprintf(stderr, "usage: crypto aes|sha|rsa TIMES\n");
        return 2;
    }
    return 0;
}
