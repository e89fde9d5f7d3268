#!/bin/bash
# Bytes in which a proxy in front of the daemon could see other requests than the daemon does: refused, and nothing
# that follows them is served.
. "${srcdir:?}/tests/e2e/lib.sh" || exit 99

start_daemon
next=$'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

# All that is answered to TEXT, where \r and the like stand for what they mean, and to one more request behind it.
send() { # TEXT
    local fd
    text='' code=none
    exec {fd}<>"/dev/tcp/$address"
    printf '%b%s' "$1" "$next" >"$tmp/bytes"
    cat "$tmp/bytes" >&"$fd" # in one piece
    IFS= read -r -d '' -t $((15 * PATIENCE)) -u "$fd" text
    [ $? -le 1 ] || fail "the connection stays open: $1: $text"
    exec {fd}>&-
    answers=$(grep -oE 'HTTP/1\.1 [0-9]{3} ' <<<"$text" | wc -l)
    [[ $text =~ ^HTTP/1\.1\ ([0-9]{3}) ]] && code=${BASH_REMATCH[1]}
    head=$(tr -d '\r' <<<"${text%%$'\r\n\r\n'*}") text=${text#*$'\r\n\r\n'}
}

h='Host: localhost\r\n' post='POST /healthz HTTP/1.1\r\n' get='GET /healthz HTTP/1.1\r\n'
chunk='5\r\nhello\r\n0\r\n\r\n'
n=0
while IFS='|' read -r what bytes; do
    [ -n "$bytes" ] || continue
    send "$bytes"
    problem 400 bad_request "$what"
    [ "$answers" = 1 ] || fail "$what: $answers answers: $text"
    header connection
    [ "${value,,}" = close ] || fail "$what: Connection: $value"
    n=$((n + 1))
done <<ROWS
two lengths|$post${h}Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello
two lengths, the other way round|$post${h}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello
the same length twice|$post${h}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello
two lengths in other letters|$post${h}Content-Length: 5\r\ncontent-LENGTH: 0\r\n\r\nhello
a length and chunks|$post${h}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n$chunk
chunks and a length|$post${h}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n$chunk
an unknown encoding|$post${h}Transfer-Encoding: xchunked\r\n\r\n$chunk
no encoding|$post${h}Transfer-Encoding:\r\n\r\n$chunk
identity|$post${h}Transfer-Encoding: identity\r\n\r\n
a list of encodings|$post${h}Transfer-Encoding: identity, chunked\r\n\r\n$chunk
chunked twice|$post${h}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n$chunk
identity, then chunked|$post${h}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n$chunk
chunked, then identity|$post${h}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n$chunk
a blank behind the encoding|$post${h}Transfer-Encoding: chunked \r\n\r\n$chunk
an encoding with a control character|$post${h}Transfer-Encoding: \vchunked\r\n\r\n$chunk
chunks in HTTP/1.0|POST /healthz HTTP/1.0\r\n${h}Transfer-Encoding: chunked\r\n\r\n$chunk
a blank before the colon of the length|$post${h}Content-Length : 5\r\n\r\nhello
a tab before the colon of the encoding|$post${h}Transfer-Encoding\t: chunked\r\n\r\n$chunk
a blank before the colon of Host|${get}Host : localhost\r\n\r\n
a header without a name|$get: x\r\n${h}X-One: 1\r\n\r\n
a name that is none|$get${h}X(y): x\r\n\r\n
a length in the next line|$post${h}Content-Length:\r\n 5\r\n\r\nhello
an encoding that goes on|$post${h}Transfer-Encoding: chunked\r\n x\r\n\r\n$chunk
a last header that goes on|$get${h}X-One: 1\r\n\t2\r\n\r\n
a carriage return in a value|$get${h}X-One: 1\rContent-Length: 5\r\n\r\n
a NUL behind the encoding|$post${h}Transfer-Encoding: chunked\0x\r\n\r\n$chunk
a NUL behind the length|$post${h}Content-Length: 5\0 6\r\nX-One: 1\r\n\r\nhello
many of NUL behind Host|${get}Host: localhost\0\0\0\0\0.evil.com\r\n\r\n
a NUL in the address|GET /healthz\0x HTTP/1.1\r\n$h\r\n
a NUL in a parameter|GET /healthz?a\0x=b&c=d HTTP/1.1\r\n$h\r\n
no Host|$get\r\n
no Host, but others|${get}X-Host: localhost\r\n\r\n
two of Host|$get${h}Host: evil.com\r\n\r\n
two of Host, the other way round|${get}Host: evil.com\r\n$h\r\n
the same Host twice|$get$h$h\r\n
two of Host in HTTP/1.0|GET /healthz HTTP/1.0\r\n$h$h\r\n
an empty Host|${get}Host:\r\n\r\n
a name behind the colon|${get}Host: localhost:evil.com\r\n\r\n
a name behind the port|${get}Host: localhost:80.evil.com\r\n\r\n
two ports|${get}Host: localhost:80:80\r\n\r\n
a user before the name|${get}Host: localhost:80@evil.com\r\n\r\n
a name behind the address|${get}Host: [::1]evil.com\r\n\r\n
an address that does not end|${get}Host: [::1\r\n\r\n
an empty address|${get}Host: []\r\n\r\n
a whole address without a host|GET http:///healthz HTTP/1.1\r\n$h\r\n
a whole address with two hosts|GET http://localhost:evil.com/healthz HTTP/1.1\r\n$h\r\n
a whole address and no Host|GET http://localhost/healthz HTTP/1.1\r\n\r\n
ROWS
[ $n -ge 47 ] || fail "only $n rows were tried"

# What is not taken for such bytes is served, and so is what follows.
n=0
while IFS='|' read -r want what bytes; do
    [ -n "$bytes" ] || continue
    send "$bytes"
    [ "$code" = "$want" ] || fail "$what: $code: $text"
    [ "$answers" = 2 ] || fail "$what: $answers answers: $text"
    n=$((n + 1))
done <<ROWS
200|a name in capitals|${get}Host: LOCALHOST:80\r\n\r\n
200|a name in other letters|${get}hOsT:\tLocalhost\r\n\r\n
200|an address|${get}Host: [::1]:8470\r\n\r\n
200|an address without a port|${get}Host: 127.0.0.1\r\n\r\n
200|no port behind the colon|${get}Host: localhost:\r\n\r\n
200|a whole address|GET http://127.0.0.1:8470/healthz HTTP/1.1\r\n$h\r\n
200|a whole address in capitals|GET HTTPS://LocalHost/api/v1/jobs?name=http:// HTTP/1.1\r\n${h}Authorization: Bearer $token\r\n\r\n
403|the whole address of another|GET http://evil.com/healthz HTTP/1.1\r\n$h\r\n
403|a whole address with the Host of another|GET http://localhost/healthz HTTP/1.1\r\nHost: evil.com\r\n\r\n
403|a user in a whole address|GET http://localhost@evil.com/healthz HTTP/1.1\r\n$h\r\n
403|another name|${get}Host: evil.com\r\n\r\n
403|a name with its dot|${get}Host: localhost.\r\n\r\n
403|a name that begins so|${get}Host: localhost.evil.com\r\n\r\n
405|a length|$post${h}Authorization: Bearer $token\r\nContent-Length: 5\r\n\r\nhello
405|chunks|$post${h}Authorization: Bearer $token\r\ntransfer-encoding: CHUNKED\r\n\r\n$chunk
ROWS
[ $n -ge 15 ] || fail "only $n rows were tried"
problems_are_whole
stop_daemon
