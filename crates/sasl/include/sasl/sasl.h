/* What librdkafka uses of the interface of Cyrus SASL 2 (`sasl(3)`): its types as they lie in memory, and its numbers. */
#ifndef SASL_H
#define SASL_H

#define SASL_CONTINUE 1 /* another step is needed */
#define SASL_INTERACT 2 /* the user is to be asked */
#define SASL_OK 0
#define SASL_FAIL (-1)
#define SASL_NOMECH (-4)
#define SASL_NOTINIT (-12)

#define SASL_USERNAME 0
#define SASL_AUTHSOURCE 14
#define SASL_MECHNAME 15

#define SASL_CB_LIST_END 0
#define SASL_CB_GETOPT 1
#define SASL_CB_LOG 2
#define SASL_CB_USER 0x4001
#define SASL_CB_AUTHNAME 0x4002
#define SASL_CB_PASS 0x4004
#define SASL_CB_ECHOPROMPT 0x4005
#define SASL_CB_CANON_USER 0x8007
#define SASL_CB_GETREALM 0x4008

typedef struct sasl_conn sasl_conn_t;

typedef struct sasl_callback {
  unsigned long id;
  int (*proc)(void);
  void *context;
} sasl_callback_t;

typedef struct sasl_secret {
  unsigned long len;
  unsigned char data[1];
} sasl_secret_t;

typedef struct sasl_interact {
  unsigned long id;
  const char *challenge;
  const char *prompt;
  const char *defresult;
  const void *result;
  unsigned len;
} sasl_interact_t;

typedef void *sasl_mutex_alloc_t(void);
typedef int sasl_mutex_lock_t(void *mutex);
typedef int sasl_mutex_unlock_t(void *mutex);
typedef void sasl_mutex_free_t(void *mutex);

int sasl_client_init(const sasl_callback_t *callbacks);
int sasl_client_new(const char *service, const char *server, const char *local, const char *remote,
                    const sasl_callback_t *prompts, unsigned flags, sasl_conn_t **conn);
int sasl_client_start(sasl_conn_t *conn, const char *mechanisms, sasl_interact_t **prompts, const char **out,
                      unsigned *length, const char **mechanism);
int sasl_client_step(sasl_conn_t *conn, const char *in, unsigned in_length, sasl_interact_t **prompts,
                     const char **out, unsigned *length);
void sasl_dispose(sasl_conn_t **conn);
const char *sasl_errdetail(sasl_conn_t *conn);
const char *sasl_errstring(int error, const char *languages, const char **language);
int sasl_getprop(sasl_conn_t *conn, int property, const void **value);
int sasl_listmech(sasl_conn_t *conn, const char *user, const char *prefix, const char *separator, const char *suffix,
                  const char **result, unsigned *length, int *count);

#endif
