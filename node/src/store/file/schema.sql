-- Who I am, and what is current: 'identity' (64 bits), 'current' (a group's name), 'port' (of the UDP socket).
CREATE TABLE facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

-- Groups (kind 0) and people (kind 1) with whom something was said. A group that is not left has a place among those
-- joined; `last` counts the messages ever kept, `bytes` is what those kept now count for.
CREATE TABLE talks (
    number INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    joined INTEGER NOT NULL DEFAULT 0,
    group_id INTEGER,
    group_order TEXT,
    last INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, name)
);

-- What was said, in the order of delivery: `number` is the talk's number times 2^40, plus a count. So the messages of
-- one talk lie together, the oldest first.
CREATE TABLE messages (
    number INTEGER PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sender TEXT NOT NULL,
    at INTEGER NOT NULL,
    caught_up INTEGER NOT NULL,
    text BLOB NOT NULL
);

-- The last message of each member that was delivered, also when the message itself is not kept any more.
CREATE TABLE known (
    talk INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (talk, incarnation, joined)
) WITHOUT ROWID;

-- Private messages of mine that are not settled.
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    incarnation INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    count INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    text BLOB NOT NULL,
    UNIQUE (incarnation, joined, count)
);

-- People who were met, and where at last; `number` rises with each meeting.
CREATE TABLE met (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL
);

-- The last private message to me of each speaker's run.
CREATE TABLE heard (
    name TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (name, incarnation, joined)
) WITHOUT ROWID;

-- No message is kept twice.
CREATE UNIQUE INDEX message_ids ON messages (number >> 40, incarnation, joined, count);
