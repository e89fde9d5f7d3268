/* What may come next on a command line: commands, options, files, jobs of the server. The completions of
 * all shells ask here, so that they know what the tables of options know. */
#ifndef CLIENT_COMPLETE_H
#define CLIENT_COMPLETE_H

#include "client/ctl.h"

/* words: the line from the program's name up to the word to complete, which may be empty. Adds a line
 * "candidate<TAB>what it is" each; ":files" or ":dirs" asks the shell for its own. A server that does not
 * answer adds nothing. Takes over what the line says of the server. */
void complete(struct ctl *c, const opt_list *words, struct buf *out);

#endif
