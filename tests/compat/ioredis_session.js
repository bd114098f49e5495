// A session of ioredis with a server: node ioredis_session.js PORT PROTOCOL. Prints a line for each check, "ok NAME" or
// "not ok NAME: why", and exits with the number of failures. What each check expects is what a real Valkey answers.
"use strict";

const assert = require("node:assert").strict;
const Redis = require("ioredis");

const port = Number(process.argv[2]), protocol = Number(process.argv[3]);
const opened = [];

function connect(options = {}) {
  const client = new Redis({ port, host: "127.0.0.1", protocol, maxRetriesPerRequest: 1, retryStrategy: () => null, ...options });
  client.on("error", () => {});
  opened.push(client);
  return client;
}

function event(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const checks = {
  async "ready check and name"() {
    const client = connect({ connectionName: "first" });
    await event(client, "ready");
    assert.equal(await client.client("GETNAME"), "first");
    assert.match(await client.info("persistence"), /loading:0/);
  },

  async "every type of reply"(c) {
    assert.equal(await c.set("s", "v"), "OK");
    assert.equal(await c.get("s"), "v");
    assert.equal(await c.get("none"), null);
    assert.deepEqual(await c.getBuffer("s"), Buffer.from("v"));
    assert.equal(await c.incr("n"), 1);
    assert.equal(await c.rpush("l", "a", "b"), 2);
    assert.deepEqual(await c.lrange("l", 0, -1), ["a", "b"]);
    assert.deepEqual(await c.hset("h", { f: "1", g: "2" }), 2);
    assert.deepEqual(await c.hgetall("h"), { f: "1", g: "2" });
    assert.deepEqual(await c.hgetall("none"), {});
    assert.equal(await c.sadd("t", "x"), 1);
    assert.deepEqual(await c.smembers("t"), ["x"]);
    assert.equal(await c.zadd("z", 1.5, "m"), 1);
    assert.equal(await c.zscore("z", "m"), "1.5");
    assert.deepEqual(await c.zrange("z", 0, -1, "WITHSCORES"), ["m", "1.5"]);
    assert.deepEqual(await c.mget("s", "none"), ["v", null]);
    assert.equal(await c.set("s", "w", "EX", 100, "NX"), null);
    const bytes = Buffer.from([0, 255, 13, 10, 36, 42]);
    await c.set("bytes", bytes);
    assert.deepEqual(await c.getBuffer("bytes"), bytes);
    const big = "x".repeat(1 << 20);
    await c.set("big", big);
    assert.equal(await c.get("big"), big);
  },

  async "errors reject, and the connection goes on"(c) {
    await c.set("s", "v");
    await assert.rejects(c.lpush("s", "x"), /^ReplyError: WRONGTYPE /);
    await assert.rejects(c.call("NO_SUCH_COMMAND", "x"), /unknown command/);
    await assert.rejects(c.call("CLIENT", "NO_SUCH_SUBCOMMAND"), /unknown subcommand/);
    await assert.rejects(c.call("GET"), /wrong number of arguments/);
    assert.equal(await c.ping(), "PONG");
  },

  async "pipelines"(c) {
    const results = await c.pipeline().set("a", "1").lpush("a", "x").incr("a").get("a").exec();
    assert.deepEqual([results[0], results[2], results[3]], [[null, "OK"], [null, 2], [null, "2"]]);
    assert.match(results[1][0].message, /^WRONGTYPE/);
    const many = c.pipeline();
    for (let i = 0; i < 10000; i++) many.set("k" + i, i);
    assert.equal((await many.exec()).filter(([error, value]) => error === null && value === "OK").length, 10000);
    const automatic = connect({ enableAutoPipelining: true });
    await Promise.all(Array.from({ length: 100 }, (_, i) => automatic.incr("auto")));
    assert.equal(await automatic.get("auto"), "100");
  },

  async "transactions"(c) {
    const results = await c.multi().set("a", "1").incr("a").exec();
    assert.deepEqual(results, [[null, "OK"], [null, 2]]);
    const mixed = await c.multi().set("a", "v").lpush("a", "x").exec();
    assert.match(mixed[1][0].message, /^WRONGTYPE/);
    await c.watch("a");
    const other = connect();
    await other.set("a", "changed");
    assert.equal(await c.multi().set("a", "mine").exec(), null);
    await assert.rejects(c.multi().set("a").exec(), /EXECABORT/);
    await c.multi({ pipeline: false });
    assert.equal(await c.set("a", "2"), "QUEUED");
    assert.deepEqual(await c.exec(), [[null, "OK"]]);
  },

  async "publish and subscribe"(c) {
    const subscriber = connect();
    assert.equal(await subscriber.subscribe("news", "more"), 2);
    assert.equal(await subscriber.psubscribe("p*"), 3);
    const message = event(subscriber, "message"), matched = event(subscriber, "pmessage");
    assert.equal(await c.publish("news", "hello"), 1);
    assert.equal(await c.publish("pop", "music"), 1);
    assert.deepEqual(await message, ["news", "hello"]);
    assert.deepEqual(await matched, ["p*", "pop", "music"]);
    const read = subscriber.get("s");
    if (protocol === 3) assert.equal(await read, null);
    else await assert.rejects(read, /subscriber mode|only \(P\|S\)SUBSCRIBE/);
    assert.equal(await subscriber.unsubscribe("news", "more"), 1);
    assert.equal(await subscriber.punsubscribe("p*"), 0);
    assert.equal(await subscriber.ping(), "PONG");
    const shard = connect();
    assert.equal(await shard.ssubscribe("sharded"), 1);
    const sharded = event(shard, "smessage");
    await c.spublish("sharded", "x");
    assert.deepEqual(await sharded, ["sharded", "x"]);
  },

  async "keyspace events"(c) {
    await c.config("SET", "notify-keyspace-events", "KEA");
    const subscriber = connect();
    await subscriber.psubscribe("__keyevent@0__:expired");
    const expired = event(subscriber, "pmessage");
    await c.set("gone", "v", "PX", 20);
    assert.deepEqual((await expired).slice(1), ["__keyevent@0__:expired", "gone"]);
    await c.config("SET", "notify-keyspace-events", "");
  },

  async "blocking commands"(c) {
    const waiter = connect();
    const popped = waiter.blpop("one", "two", 5);
    await pause(20);
    await c.rpush("two", "x");
    assert.deepEqual(await popped, ["two", "x"]);
    assert.equal(await waiter.blpop("one", 0.05), null);
    const moved = waiter.blmove("one", "two", "LEFT", "RIGHT", 5);
    await c.rpush("one", "y");
    assert.equal(await moved, "y");
    const least = waiter.bzpopmin("zset", 5);
    await c.zadd("zset", 2, "m");
    assert.deepEqual(await least, ["zset", "m", "2"]);
    const id = await waiter.client("ID"), unblocked = waiter.blpop("one", 0);
    const refused = assert.rejects(unblocked, /^ReplyError: UNBLOCKED/); // listens before the error can come
    while ((await c.client("UNBLOCK", id, "ERROR")) !== 1) await pause(20); // until the wait has begun
    await refused;
  },

  async "scan streams"(c) {
    const entries = {};
    for (let i = 0; i < 500; i++) entries["key" + i] = String(i);
    await c.mset(entries);
    const seen = new Set();
    for await (const keys of c.scanStream({ match: "key*", count: 50 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 500);
    await c.hset("hash", entries);
    let pairs = 0;
    for await (const page of c.hscanStream("hash")) pairs += page.length / 2;
    assert.equal(pairs, 500);
  },

  async "databases, monitor, reconnection"(c) {
    const second = connect({ db: 2 });
    await second.set("here", "v");
    assert.equal(await c.get("here"), null);
    const monitor = await connect().monitor();
    opened.push(monitor);
    const line = event(monitor, "monitor");
    await c.set("seen", "v");
    assert.deepEqual((await line)[1], ["set", "seen", "v"]);
    const again = connect({ retryStrategy: () => 10, maxRetriesPerRequest: 5 });
    const id = await again.client("ID");
    const closed = event(again, "close"); // before the order: it may be carried out before it is answered
    await c.client("KILL", "ID", id);
    await closed;
    assert.notEqual(await again.client("ID"), id);
  },
};

(async () => {
  const c = connect();
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await c.flushall();
      await Promise.race([check(c), pause(15000).then(() => assert.fail("no end after 15 s"))]);
      console.log("ok " + name);
    } catch (error) {
      failed++;
      console.log("not ok " + name + ": " + String(error.message).replace(/\n/g, " "));
    }
  }
  opened.forEach((client) => client.disconnect());
  process.exit(failed);
})();
