/* The secret by which a rank shows that it belongs to its attempt. */
#ifndef WORKER_REPORT_TOKEN_H
#define WORKER_REPORT_TOKEN_H

/* What the file of DISTILLD_TOKEN_FILE holds, without its line end; "" where there is none. free() */
char *token_read(void);

#endif
