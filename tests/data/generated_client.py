"""Creates, reads, changes and deletes entries with a client that a generator makes of the document of the API.

Called with the folder of the client, the URL of a server and a token of an administrator.
"""

import sys

sys.path.insert(0, sys.argv[1])

from generated.client import AuthenticatedClient  # noqa: E402
from generated.api.default import (  # noqa: E402
    change, delete_entry, entries, entry, patch_entry, put_entry, server, stream, streams, versions,
)
from generated.models import ChangesItem, Entry, Outcome, Page, Problem  # noqa: E402

client = AuthenticatedClient(base_url=sys.argv[2], token=sys.argv[3])


def of(**values):
    return Entry.from_dict(values)


def check(condition, found):
    if not condition:
        raise SystemExit(f"not as expected: {found}")


found = server.sync(client=client)
check(found.server["name"] == "voyandz", found)

# Create.
made = put_entry.sync_detailed("streams", "made.raw", client=client, body=of(feed="ticks", container="raw"))
check(made.status_code == 201 and isinstance(made.parsed, Outcome) and made.parsed.begun == [], made)
tag = made.headers["etag"]

# Read: the entry, its state, and the lists.
read = entry.sync("streams", "made.raw", client=client)
check(read.to_dict() == {"feed": "ticks", "container": "raw"}, read)
state = stream.sync("made.raw", client=client)
check(state["state"] == "idle", state)
page = streams.sync(client=client, name="made*")
check(isinstance(page, Page) and page.total == 1 and page.items[0]["name"] == "made.raw" and page.next_ is None, page)
check(entries.sync("streams", client=client, limit=1).next_ is not None, "one page of several")

# Change, unless somebody else did.
dry = patch_entry.sync("streams", "made.raw", client=client, body=of(title="Made"), dry_run="1")
check("+    title: Made" in dry.diff and dry.version is None, dry)
done = patch_entry.sync_detailed("streams", "made.raw", client=client, body=of(title="Made"), if_match=tag)
check(done.status_code == 200 and done.parsed.ended == [], done)
stale = patch_entry.sync_detailed("streams", "made.raw", client=client, body=of(title="Other"), if_match=tag)
check(stale.status_code == 412 and isinstance(stale.parsed, Problem), stale)
check(stale.parsed.type_.value == "/api/problems/precondition-failed", stale)
check(entry.sync("streams", "made.raw", client=client)["title"] == "Made", "title")

# Several together.
several = [
    ChangesItem.from_dict({"op": "merge", "path": ["streams", "made.raw"], "value": {"title": None}}),
    ChangesItem.from_dict({"op": "create", "path": ["streams", "more.raw"], "value": {"feed": "ticks", "container": "raw"}}),
]
check(isinstance(change.sync(client=client, body=several), Outcome), "changes")
check("title" not in entry.sync("streams", "made.raw", client=client).to_dict(), "title removed")

# A fault says where.
wrong = put_entry.sync("streams", "bad.raw", client=client, body=of(feed="none"))
check(isinstance(wrong, Problem) and wrong.faults[0].path == "streams.bad.raw.feed" and wrong.faults[0].line > 1, wrong)

# Delete.
for name in ["made.raw", "more.raw"]:
    check(delete_entry.sync_detailed("streams", name, client=client).status_code == 200, name)
gone = entry.sync_detailed("streams", "made.raw", client=client)
check(gone.status_code == 404 and isinstance(gone.parsed, Problem), gone)
check(versions.sync(client=client).total == 5, "the history has each change")
print("ok")
