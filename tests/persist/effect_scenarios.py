"""Commands and their options for test_effects.py.

A step is "CLIENT>WORDS", without a client it is client 0's. {+5000} and {-5000} are times in ms from now, {s+5} and
{s-5} in seconds, {dump} is a payload. "1>!BLPOP a 0" will wait; "1>take" is its reply. "sleep 20" is for both
servers. Everything begins with an empty store and active expiry off.
"""

from __future__ import annotations

SCENARIOS: dict[str, str] = {
    "set": """
        SET k v | set k v2 | SET k v NX | SET n v NX | SET k v XX | SET absent v XX | SET k v EX 100
        SET k v PX 100000
        SET k v EXAT {s+100} | SET k v PXAT {+100000} | SET k v3 KEEPTTL | SET k v GET | SET k v GET EX 100
        SET k w IFEQ v | SET k w IFEQ v
        SET k v IFEQ w EX 100 | SET k v IFEQ w GET | SET k v4 ex 10 xx get | SET k v5 XX GET KEEPTTL
        SET new v nx get
        SET k v EXAT {s-100} | SET k v PXAT 1000 | SET absent v PXAT 1000 | SET k v GET PXAT 1000
        SETNX k 1 | SETNX k 2 | SETEX k 100 v | PSETEX k 100000 v | GETSET k 2 | GETSET absent 3 | SET k v px abc
        RPUSH list a | SET list v | RPUSH list2 a | SET list2 v GET | GETSET list2 v
    """,
    "set_expired": """
        SET k v PX 1 | sleep 5 | SET k w | SET k v PX 1 | sleep 5 | SET k w NX | SET k v PX 1 | sleep 5 | SET k w XX
        SET k v PX 1 | sleep 5
        SET k w GET | SET k v PX 1 | sleep 5 | SET k w IFEQ v | SET k v PX 1 | sleep 5 | SET k w EX 100 | SET k v PX 1
        sleep 5 | SET k w PXAT 1000
        SET k v PX 1 | sleep 5 | GET k | SET k v PX 1 | sleep 5 | EXISTS k | SET k v PX 1 | sleep 5 | APPEND k x
        SET k v PX 1 | sleep 5
        GETDEL k | SET k v PX 1 | sleep 5 | DEL k | SET k v PX 1 | sleep 5 | MSET a 1 k 2 | SET k v PX 1
        SET l v PX 1 | sleep 5 | MGET k l
        SET k v PX 1 | sleep 5 | RENAME k l | SET k v | SET l v PX 1 | sleep 5 | RENAME k l | SET k v PX 1 | sleep 5
        PERSIST k
        SET k v PX 1 | sleep 5 | EXPIRE k 100 | SET k v PX 1 | sleep 5 | INCR k | SET k 1 PX 1 | sleep 5
        INCRBYFLOAT k 1.5
        SET k v PX 1 | sleep 5 | HSET k f v | SET k2 v PX 1 | sleep 5 | SETEX k2 100 v | SET k2 v PX 1 | sleep 5
        GETSET k2 v
        SET k2 v PX 1 | sleep 5 | MULTI | GET k2 | SET k2 w | EXEC | SET k2 v PX 1 | sleep 5 | TYPE k2 | SET k2 v PX 1
        sleep 5 | UNLINK k2
        SET k2 v PX 1 | sleep 5 | COPY k k2 | SET k3 v PX 1 | sleep 5 | COPY k k3 | SET k4 v PX 1 | sleep 5
        MSETNX k4 1 k5 2
        SET k6 v PX 1 | sleep 5 | SORT k6 | SET k6 v PX 1 | sleep 5 | TOUCH k6 | SET k6 v PX 1 | sleep 5
        GETEX k6 PERSIST
    """,
    "lazy_off": """
        CONFIG SET lazyfree-lazy-expire no lazyfree-lazy-server-del no
        CONFIG SET lazyfree-lazy-user-del no lazyfree-lazy-eviction no
        SET k v PX 1 | sleep 5 | GET k | SET k v PX 1 | sleep 5 | SET k w | SET k v PXAT 1000 | SET k v | EXPIRE k -1
        SET k v
        GETEX k PXAT 1000 | SADD s a | SPOP s | SADD s a | SPOP s 5 | DEL k | SET k v | GETDEL k | HSET h f v
        HGETEX h PXAT 1000 FIELDS 1 f
    """,
    "lazy_on": """
        CONFIG SET lazyfree-lazy-expire yes lazyfree-lazy-server-del yes
        CONFIG SET lazyfree-lazy-user-del yes lazyfree-lazy-eviction yes
        SET k v PX 1 | sleep 5 | GET k | SET k v PX 1 | sleep 5 | SET k w | SET k v PXAT 1000 | SET k v | EXPIRE k -1
        SET k v
        GETEX k PXAT 1000 | SADD s a | SPOP s | SADD s a | SPOP s 5 | SET k v | DEL k | SET k v | GETDEL k | SET k v
        DELIFEQ k v
        FLUSHDB | FLUSHALL | SET a 1 | SET b 1 | RENAME a b | RPUSH l a | LPOP l | RPUSH l a | LMOVE l m LEFT LEFT
        CONFIG SET lazyfree-lazy-user-flush yes | FLUSHDB | FLUSHALL | CONFIG SET lazyfree-lazy-user-flush no
    """,
    "strings": """
        GET absent | APPEND k abc | APPEND k "" | SETRANGE k 1 xyz | SETRANGE k 1 "" | SETRANGE absent 0 ""
        SETRANGE new 5 a | GETRANGE k 0 1
        STRLEN k | MSET a 1 b 2 a 3 | MSETNX a 1 c 2 | MSETNX d 1 e 2 | MGET a b | INCR n | INCRBY n 5 | DECR n
        DECRBY n 2 | INCRBY n 0
        INCRBYFLOAT n 1.5 | INCRBYFLOAT n 0 | INCRBYFLOAT absent 3.0e3 | EXPIRE n 100 | INCRBYFLOAT n 2 | INCR n
        INCR k | GETDEL a | GETDEL absent
        DELIFEQ b 1 | DELIFEQ b 2 | DELIFEQ b 2 | SET k v | GETEX k | GETEX k EX 100 | GETEX k PX 100000
        GETEX k EXAT {s+100}
        GETEX k PXAT {+100000} | GETEX k PERSIST | GETEX k PERSIST | GETEX k PXAT 1000 | GETEX k EX 100 | SUBSTR d 0 0
        LCS d e
    """,
    "msetex": """
        MSETEX 1 k v | MSETEX 2 a 1 b 2 | MSETEX 2 a 1 b 2 NX | MSETEX 2 a 1 b 2 XX | MSETEX 2 a 1 b 2 EX 100
        MSETEX 2 a 1 b 2 PX 100000
        MSETEX 2 a 1 b 2 EXAT {s+100} | MSETEX 2 a 1 b 2 PXAT {+100000} | MSETEX 2 a 1 b 2 KEEPTTL
        MSETEX 2 n 1 m 2 NX EX 100
        MSETEX 2 a 1 b 2 XX KEEPTTL | MSETEX 2 a 1 b 2 px 100000 xx | MSETEX 2 a 1 a 2 EX 100 | MSETEX 2 c 1 k 2 NX
    """,
    "generic": """
        SET k v | SET l w | DEL k absent | DEL absent | UNLINK l | SET k v | RENAME k l | RENAMENX l k | SET x y
        RENAMENX k x | RENAME k k
        RENAME absent k | COPY k c | COPY k c | COPY k c REPLACE | COPY k c DB 3 | COPY k d DB 2 REPLACE
        COPY absent q | MOVE k 5
        MOVE k 5 | SET k z | MOVE k 5 | TOUCH c | TYPE c | RANDOMKEY | KEYS * | SCAN 0 | DBSIZE | OBJECT ENCODING c
        EXPIRE c 100 | EXPIRE c 100 NX | EXPIRE c 200 XX | EXPIRE c 100 GT | EXPIRE c 300 GT | EXPIRE c 100 LT
        PEXPIRE c 100000
        EXPIREAT c {s+100} | PEXPIREAT c {+200000} | EXPIRE absent 100 | PERSIST c | PERSIST c | PERSIST absent
        EXPIRE c -1
        SET c v | PEXPIRE c 0 | SET c v | EXPIREAT c 1 | SET c v | PEXPIREAT c -5 | EXPIRE c 9223372036854775807
        SWAPDB 0 1 | SWAPDB 0 0
        SWAPDB 0 1 | FLUSHDB | FLUSHDB ASYNC | SET k v | FLUSHDB SYNC | FLUSHALL | SET k v | FLUSHALL SYNC
        FLUSHALL ASYNC
        SELECT 4 | SET in4 v | SELECT 0 | SET in0 v | MULTI | SET a 1 | SELECT 3 | SET b 2 | SELECT 0 | EXEC
        DEBUG JMAP | SET in0 w
    """,
    "restore": """
        RESTORE k 0 {dump} | RESTORE k 0 {dump} | RESTORE k 0 {dump} REPLACE | RESTORE k 100000 {dump} REPLACE
        RESTORE a {+100000} {dump} ABSTTL
        RESTORE b 100000 {dump} IDLETIME 5 | RESTORE c {+100000} {dump} REPLACE ABSTTL FREQ 5
        RESTORE k 1000 {dump} REPLACE ABSTTL
        RESTORE new 1000 {dump} ABSTTL | RESTORE bad 0 xx | RESTORE d 0 {dump} ABSTTL
    """,
    "hash": """
        HSET h a 1 b 2 | HSET h a 1 | HMSET h c 3 | HSETNX h a 9 | HSETNX h d 4 | HINCRBY h a 5
        HINCRBYFLOAT h a 1.25 | HINCRBYFLOAT h new 3e2
        HDEL h a absent | HDEL h absent | HDEL absent f | HGET h b | HGETALL h | HINCRBY h b 0 | HDEL h b c d new
        HSET h a x | HINCRBY h a 1
        HGETDEL h FIELDS 1 a | HSET h a 1 b 2 c 3 | HGETDEL h FIELDS 2 a absent | HGETDEL h FIELDS 1 absent
        HGETDEL h FIELDS 3 b a c
        HGETDEL h FIELDS 1 a | HSET h a 1 b 2 | HGETDEL h FIELDS 2 a a
    """,
    "hash_ttl": """
        HSET h a 1 b 2 c 3 d 4 e 5 | HEXPIRE h 100 FIELDS 1 a | HPEXPIRE h 100000 FIELDS 2 a b
        HEXPIREAT h {s+100} FIELDS 1 c
        HPEXPIREAT h {+100000} FIELDS 1 d | HEXPIRE h 100 NX FIELDS 2 a e | HEXPIRE h 1 GT FIELDS 2 a e
        HEXPIRE h 50 LT FIELDS 2 a e
        HEXPIRE h 200 XX FIELDS 2 a e | HEXPIRE h 100 FIELDS 2 absent a | HEXPIRE h 100 FIELDS 1 absent
        HEXPIRE absent 100 FIELDS 1 a
        HEXPIRE h 500 GT FIELDS 1 a | HEXPIRE h 400 gt FIELDS 1 a | HPERSIST h FIELDS 2 a b | HPERSIST h FIELDS 1 a
        HPERSIST h FIELDS 1 absent
        HPERSIST h FIELDS 2 a c | HPEXPIREAT h 1 FIELDS 1 a | HEXPIRE h 0 FIELDS 2 b absent | HTTL h FIELDS 1 c
        HSET h c 9 | HEXPIRE h 100 FIELDS 1 c
        HINCRBY h c 1 | HINCRBYFLOAT h c 1 | HEXPIREAT h 1 FIELDS 3 c d e | EXISTS h | HSET h a 1 b 2
        HPEXPIREAT h 1 FIELDS 2 a b
        HSET h a 1 | HPEXPIREAT h 1 FIELDS 2 a absent | HSET h a 1 b 2 c 3 | HEXPIRE h 0 FIELDS 2 a c
        HEXPIRE h 0 NX FIELDS 1 b
    """,
    "hgetex": """
        HSET h a 1 b 2 c 3 d 4 | HGETEX h FIELDS 1 a | HGETEX h EX 100 FIELDS 1 a | HGETEX h PX 100000 FIELDS 2 a b
        HGETEX h EXAT {s+100} FIELDS 1 c
        HGETEX h PXAT {+100000} FIELDS 2 d absent | HGETEX h PERSIST FIELDS 1 a | HGETEX h PERSIST FIELDS 1 a
        HGETEX h PERSIST FIELDS 2 b absent
        HGETEX h EX 100 FIELDS 1 absent | HGETEX absent EX 100 FIELDS 1 a | HGETEX h PXAT 1 FIELDS 1 a
        HGETEX h PXAT 1 FIELDS 2 b absent
        HGETEX h PXAT 1 FIELDS 2 c d | EXISTS h
    """,
    "hsetex": """
        HSETEX h FIELDS 1 a 1 | HSETEX h EX 100 FIELDS 2 a 1 b 2 | HSETEX h PX 100000 FIELDS 1 a 1
        HSETEX h EXAT {s+100} FIELDS 1 c 3
        HSETEX h PXAT {+100000} FIELDS 1 c 3 | HSETEX h KEEPTTL FIELDS 1 a 5 | HSETEX h FNX FIELDS 1 a 5
        HSETEX h FNX FIELDS 1 z 5
        HSETEX h FXX EX 100 FIELDS 1 a 5 | HSETEX h FXX FIELDS 1 absent 5 | HSETEX h NX FIELDS 1 a 5
        HSETEX n NX EX 100 FIELDS 1 a 5
        HSETEX h XX PX 100000 FIELDS 1 a 5 | HSETEX absent XX FIELDS 1 a 5 | HSETEX h FXX KEEPTTL FIELDS 1 a 6
        HSETEX h FNX EX 100 FIELDS 1 y 6
        HSETEX h PXAT 1 FIELDS 1 a 5 | HSETEX h PXAT 1 FIELDS 2 b 5 absent 6 | HSETEX fresh PXAT 1 FIELDS 1 a 5
        HSETEX h FXX PXAT 1 FIELDS 1 c 5
        HSETEX n PXAT 1 FIELDS 1 a 5 | EXISTS n
    """,
    "hash_expired": """
        HSET h a 1 b 2 | HPEXPIRE h 1 FIELDS 1 a | sleep 5 | HGET h a | HSET h a 2 | HPEXPIRE h 1 FIELDS 1 a | sleep 5
        HDEL h a | HDEL h b
        HSET g a 1 b 2 | HPEXPIRE g 1 FIELDS 1 a | sleep 5 | HINCRBY g a 5 | HPEXPIRE g 1 FIELDS 1 a | sleep 5
        HSETNX g a 7
        HPEXPIRE g 1 FIELDS 1 a | sleep 5 | HGETALL g | HLEN g | HEXPIRE g 100 FIELDS 1 a | HPERSIST g FIELDS 1 a
        HGETDEL g FIELDS 1 a
        HINCRBYFLOAT g a 1.5 | HPEXPIRE g 1 FIELDS 1 a | sleep 5 | HSETEX g FNX FIELDS 1 a 1 | HPEXPIRE g 1 FIELDS 1 a
        sleep 5
        HSETEX g EX 100 FIELDS 1 a 1 | HGETEX g EX 100 FIELDS 1 a
    """,
    "lists": """
        RPUSH l a b c d e f | LPUSH l z | LPUSHX l y | RPUSHX absent y | LINSERT l BEFORE c x
        LINSERT l AFTER nowhere x | LSET l 0 q | LSET l 99 q
        LREM l 1 x | LREM l 0 nowhere | LTRIM l 0 -1 | LTRIM l 0 6 | LTRIM l 1 -2 | LPOP l | RPOP l | LPOP l 2
        LPOP l 0 | RPOP l 99 | LPOP l | LPOP l 5
        RPUSH l a b c | LTRIM l 5 9 | RPUSH l a b c | LMOVE l m LEFT RIGHT | RPOPLPUSH l m | RPOPLPUSH absent m
        LMOVE m m LEFT RIGHT
        RPUSH l 1 2 3 4 5 6 7 8 | LMPOP 2 absent l LEFT | LMPOP 1 l RIGHT COUNT 2 | LMPOP 1 absent LEFT
        LMPOP 1 l left COUNT 99
        RPUSH l 1 2 3 | BLPOP absent l 0 | BRPOP l 0 | BLMPOP 0 2 absent l LEFT COUNT 5 | RPUSH l 1 2 3
        BLMPOP 0 1 l RIGHT
        BLMOVE l m LEFT RIGHT 0 | BRPOPLPUSH l m 0 | LRANGE m 0 -1 | LPOS m a | BLPOP absent 0.01 | MULTI
        BLPOP absent 0 | BLPOP m 0 | EXEC
        RPUSH l x | BLPOP l 0 | RPUSH l x | BLMOVE l m RIGHT LEFT 0
    """,
    "blocking": """
        1>!BLPOP a b 0 | RPUSH b x | 1>take | 1>!BRPOP a 0 | RPUSH a x y | 1>take | DEL a
        1>!BLMPOP 0 2 a b LEFT COUNT 2 | RPUSH a 1 2 3 | 1>take
        DEL a | 1>!BLMOVE a dst LEFT RIGHT 0 | RPUSH a 1 | 1>take | 1>!BRPOPLPUSH a dst 0 | LPUSH a 1 | 1>take
        1>!BZPOPMIN z 0 | ZADD z 1 m | 1>take
        1>!BZPOPMAX z 0 | ZADD z 1 m 2 n | 1>take | DEL z | 1>!BZMPOP 0 1 z MAX COUNT 2 | ZADD z 1 a 2 b 3 c | 1>take
        DEL z | 1>!BZMPOP 0 1 z MIN
        ZADD z 1 a | 1>take | 1>!BLPOP l 0 | 2>!BLPOP l 0 | RPUSH l 1 2 3 | 1>take | 2>take | DEL l
        1>!BLMOVE l m LEFT LEFT 0 | 2>!BLPOP m 0
        RPUSH l x | 1>take | 2>take | 1>!BLPOP l 0 | MULTI | RPUSH l 1 | SET k v | EXEC | 1>take | 1>!BLPOP l 0
        MULTI | RPUSH l 1 | DEL l | RPUSH l 2 | EXEC
        1>take | 1>SELECT 3 | 1>!BLPOP l 0 | RPUSH l x | 3>SELECT 3 | 3>RPUSH l y | 1>take | 1>!BLPOP q 0 | RENAME l q
        3>RPUSH other v | 3>RENAME other q
        1>take | 1>!BLPOP q 0 | COPY q q DB 3 | 1>take | 1>!BLPOP q 0 | SET s v | SWAPDB 0 3 | 1>take
    """,
    "sets": """
        SADD s a b c | SADD s a | SREM s a absent | SREM s absent | SMOVE s t b | SMOVE s t absent | SMOVE s s c
        SADD t c | SMOVE s t c | SADD s 1 2 3 4 5
        SUNIONSTORE d s t | SINTERSTORE d s absent | SINTERSTORE d absent s | SDIFFSTORE d s t | SDIFFSTORE d absent s
        SMEMBERS s | SPOP absent | SADD one x
        SPOP one | SADD one x y | SPOP one 5 | SADD one x y | SPOP one 0 | SPOP one 2 | SADD u v
        SUNIONSTORE u absent | SUNIONSTORE u absent | SINTERSTORE s s
        SADD same a | SPOP same 1 | SADD w a a a | SRANDMEMBER w
    """,
    "random": """
        SADD s 1 2 3 4 5 6 7 8 9 10 | SPOP s | SPOP s 3 | SPOP s 5 | SADD t a b c | SPOP t 1 | SPOP t 1 | SPOP t 1
        SADD u 1 2 3 | SRANDMEMBER u 2
    """,
    "lazy_mixed": """
        CONFIG SET lazyfree-lazy-expire yes lazyfree-lazy-server-del no
        CONFIG SET lazyfree-lazy-user-del no lazyfree-lazy-eviction no
        SET k v PX 1 | sleep 5 | GET k | SET k v | EXPIRE k -1 | SET k v | SET k v PXAT 1000 | SET k v
        GETEX k PXAT 1000 | SADD s a b | SPOP s 5
        RESTORE k 0 {dump} | RESTORE k 1000 {dump} REPLACE ABSTTL | SET k v | GETDEL k | SADD s a b | DEL s
        CONFIG SET lazyfree-lazy-expire no lazyfree-lazy-server-del yes
        SET k v PX 1 | sleep 5 | GET k | SET k v | EXPIRE k -1 | SET k v | SET k v PXAT 1000 | SET k v
        GETEX k PXAT 1000 | SADD s a b | SPOP s 5
        RESTORE k 0 {dump} | RESTORE k 1000 {dump} REPLACE ABSTTL | SET k v | GETDEL k | SADD s a b | DEL s
    """,
    "zsets": """
        ZADD z 1 a 2 b 3 c | ZADD z 1 a | ZADD z NX 5 a 6 d | ZADD z XX 5 a 7 absent | ZADD z GT 1 a
        ZADD z LT CH 1 a | ZADD z INCR 5 a | ZADD z NX INCR 5 a
        ZINCRBY z 2.5 a | ZINCRBY z 0 a | ZREM z a absent | ZREM z absent | ZADD z 1 e 2 f 3 g 4 h 5 i | ZPOPMIN z
        ZPOPMAX z 2 | ZPOPMIN z 0 | ZPOPMIN absent
        ZMPOP 2 absent z MIN | ZMPOP 1 z MAX COUNT 2 | ZMPOP 1 absent MIN | ZADD z 1 e 2 f 3 g | BZPOPMIN absent z 0
        BZPOPMAX z 0 | BZMPOP 0 2 absent z MIN COUNT 9
        ZADD z 1 e 2 f 3 g 4 h 5 i 6 j 7 k | ZREMRANGEBYRANK z 0 0 | ZREMRANGEBYSCORE z 0 2 | ZREMRANGEBYSCORE z 90 99
        ZREMRANGEBYLEX z [g [g
        ZUNIONSTORE d 2 z absent | ZINTERSTORE d 2 z absent | ZINTERSTORE d 2 z absent | ZDIFFSTORE d 2 z absent
        ZRANGESTORE d z 0 1 | ZRANGESTORE d z 90 99
        ZRANGESTORE d z 90 99 | ZUNIONSTORE d 2 z z WEIGHTS 2 3 AGGREGATE MAX | ZPOPMIN d 99
        BZMPOP 0.01 1 absent MIN
        ZADD p 1 a | ZPOPMIN p | ZADD p 1 a 2 b | ZMPOP 1 p MIN COUNT 10 | ZADD z XX CH 1 absent | ZADD z inf q -inf r
        ZINCRBY z 1e3 q
    """,
    "sort": """
        RPUSH l 3 1 2 | SORT l | SORT l STORE d | SORT l DESC LIMIT 0 2 STORE d | SORT absent STORE d
        SORT absent STORE d | SORT l BY nosort STORE d
        SORT l ALPHA STORE l | SET w_1 5 | SET w_2 3 | SET w_3 4 | SORT l BY w_* GET # GET w_* STORE d | SORT_RO l
    """,
    "transactions": """
        MULTI | SET a 1 | INCR a | GET a | EXEC | MULTI | GET a | EXEC | MULTI | SET a 1 NX | EXEC | MULTI | SET b 1
        EXEC | MULTI | SET c 1 | DISCARD
        WATCH a | SET a 9 | MULTI | SET b 5 | EXEC | MULTI | INCR notint | SET x y | INCR x | EXEC | MULTI
        EXPIRE b 100 | SET s v EX 100 | HSET h f 1
        HINCRBYFLOAT h f 2 | SADD st m | SPOP st | EXEC | MULTI | FLUSHALL | SET k v | EXEC | MULTI | SET p v PX 1
        EXEC | sleep 5 | MULTI | GET p | EXEC
        WATCH p | MULTI | PING | EXEC | MULTI | SELECT 1 | EXEC | SET in1 v | SELECT 0 | MULTI | SPOP absent
        DEL absent | EXEC
    """,
    "pubsub": """
        PUBLISH ch m | SUBSCRIBE x | UNSUBSCRIBE x | CONFIG SET maxmemory 0 | CLIENT LIST | PING | ECHO x
        OBJECT HELP | DEBUG SLEEP 0 | SPUBLISH ch m
        MULTI | PUBLISH ch m | SET k v | EXEC
    """,
}
