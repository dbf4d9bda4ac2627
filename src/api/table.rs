//! The one table of the API: it dispatches requests and prints the document.

use super::{
    call::Answer,
    clips, config, control, events, hooks, openapi, recording, recordings,
    route::{May, Route},
    session, state, storage,
};
use crate::access::Action;
use futures_util::FutureExt;

const LIST: &[&str] = &["limit", "after", "name", "state"];
const DRY: &[&str] = &["dry_run"];

/// All of them.
pub(super) static ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/openapi.json",
        id: "document",
        summary: "This document.",
        may: May::Anyone,
        query: &[],
        body: None,
        answer: (200, Some("Any")),
        run: |_| async { Ok(Answer::json(openapi::document(ROUTES))) }.boxed(),
    },
    Route {
        method: "GET",
        path: "/session",
        id: "session",
        summary: "Who one is, and what that may do.",
        may: May::Anyone,
        query: &[],
        body: None,
        answer: (200, Some("Session")),
        run: |call| session::show(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/session",
        id: "login",
        summary: "Logs a user in: the cookie of the response stands for the password.",
        may: May::Anyone,
        query: &[],
        body: Some("Login"),
        answer: (201, Some("Session")),
        run: |call| session::begin(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/session/code",
        id: "login_code",
        summary: "Makes a code that logs in once, with all permissions. Over the control socket only.",
        may: May::Server(Action::Users),
        query: &[],
        body: None,
        answer: (200, Some("Code")),
        run: |call| session::code(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/session",
        id: "logout",
        summary: "Ends the login of the cookie.",
        may: May::Anyone,
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| session::end(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/server",
        id: "server",
        summary: "The server and its sums.",
        may: May::Server(Action::Status),
        query: &[],
        body: None,
        answer: (200, Some("Server")),
        run: |call| state::server(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/server/reload",
        id: "reload",
        summary: "Reads the configuration files again, as SIGHUP does.",
        may: May::Server(Action::ConfigWrite),
        query: &[],
        body: None,
        answer: (202, None),
        run: |call| config::reload(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/feeds",
        id: "feeds",
        summary: "The feeds, by name.",
        may: May::Server(Action::Status),
        query: LIST,
        body: None,
        answer: (200, Some("Page")),
        run: |call| state::feeds(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/feeds/{name}",
        id: "feed",
        summary: "One feed.",
        may: May::Server(Action::Status),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| state::feed(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/feeds/{name}/{order}",
        id: "order_feed",
        summary: "`restart`, `stop` until `start`, or `start` a feed.",
        may: May::Server(Action::Kick),
        query: &[],
        body: None,
        answer: (202, None),
        run: |call| control::feed(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/streams",
        id: "streams",
        summary: "The streams, by name.",
        may: May::Server(Action::Status),
        query: LIST,
        body: None,
        answer: (200, Some("Page")),
        run: |call| state::streams(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/streams/{name}",
        id: "stream",
        summary: "One stream.",
        may: May::Server(Action::Status),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| state::stream(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/streams/{name}/pushes/{number}/{order}",
        id: "order_push",
        summary: "`restart`, `stop` until `start`, or `start` a push of a stream, by its place in the configuration, from 1.",
        may: May::Stream(Action::Kick),
        query: &[],
        body: None,
        answer: (202, None),
        run: |call| control::push(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/streams/{name}/keyframe",
        id: "keyframe",
        summary: "Asks the encoder of a stream for a keyframe.",
        may: May::Stream(Action::View),
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| control::keyframe(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/streams/{name}/recording",
        id: "recorder",
        summary: "The recorder of a stream.",
        may: May::Stream(Action::Record),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| recording::show(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/streams/{name}/recording",
        id: "start_recording",
        summary: "Starts to record, with `plan: manual` or `clips`; `for` says how long.",
        may: May::Stream(Action::Record),
        query: &["for"],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| recording::start(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/streams/{name}/recording",
        id: "stop_recording",
        summary: "Stops to record, with `plan: manual` or `clips`.",
        may: May::Stream(Action::Record),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| recording::stop(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/recordings/{stream}",
        id: "recordings",
        summary: "The files of a stream, or those of a span.",
        may: May::Stream(Action::Playback),
        query: recordings::LIST,
        body: None,
        answer: (200, Some("Page")),
        run: |call| recordings::list(call).boxed(),
    },
    Route {
        method: "PATCH",
        path: "/recordings/{stream}",
        id: "protect_recordings",
        summary: "Protects the files of a span from deletion by limits, or not any more.",
        may: May::Stream(Action::Record),
        query: recordings::SPAN,
        body: Some("Protection"),
        answer: (200, Some("Edited")),
        run: |call| recordings::protect(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/recordings/{stream}",
        id: "delete_recordings",
        summary: "Deletes the files that are wholly in a span, have ended and are not protected.",
        may: May::Stream(Action::Record),
        query: recordings::SPAN,
        body: None,
        answer: (200, Some("Edited")),
        run: |call| recordings::delete(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/recordings/{stream}/clips",
        id: "clips",
        summary: "The clips of a stream: spans that were copied into files of their own.",
        may: May::Stream(Action::Playback),
        query: &["limit", "after"],
        body: None,
        answer: (200, Some("Page")),
        run: |call| clips::list(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/recordings/{stream}/clips",
        id: "save_clip",
        summary: "Copies a span into a file of its own, which no limit deletes.",
        may: May::Stream(Action::Record),
        query: recordings::SPAN,
        body: None,
        answer: (201, Some("Entry")),
        run: |call| clips::save(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/recordings/{stream}/clips/{clip}",
        id: "delete_clip",
        summary: "Deletes a clip.",
        may: May::Stream(Action::Record),
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| clips::delete(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/storage",
        id: "storage",
        summary: "The folders of recordings: how much is in them, how much is free, and how long that lasts.",
        may: May::Server(Action::Status),
        query: &["limit", "after"],
        body: None,
        answer: (200, Some("Page")),
        run: |call| storage::list(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/recordings/{stream}/{file}",
        id: "recording",
        summary: "A file of a recording.",
        may: May::Stream(Action::Playback),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| recordings::show(call).boxed(),
    },
    Route {
        method: "PATCH",
        path: "/recordings/{stream}/{file}",
        id: "protect_recording",
        summary: "Protects a file from deletion by limits, or not any more.",
        may: May::Stream(Action::Record),
        query: &[],
        body: Some("Protection"),
        answer: (200, Some("Entry")),
        run: |call| recordings::protect_file(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/recordings/{stream}/{file}",
        id: "delete_recording",
        summary: "Deletes a file that has ended and is not protected.",
        may: May::Stream(Action::Record),
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| recordings::delete_file(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/streams/{name}/{order}",
        id: "order_stream",
        summary: "`restart`, `stop` until `start`, or `start` what makes a stream.",
        may: May::Stream(Action::Kick),
        query: &[],
        body: None,
        answer: (202, None),
        run: |call| control::stream(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/viewers",
        id: "viewers",
        summary: "Who watches, by stream.",
        may: May::Server(Action::Kick),
        query: &["limit", "after", "stream"],
        body: None,
        answer: (200, Some("Page")),
        run: |call| state::viewers(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/viewers/{id}",
        id: "kick",
        summary: "Ends a viewer.",
        may: May::Server(Action::Kick),
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| control::kick(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/events",
        id: "events",
        summary: "What happened, numbered and in order; with `Accept: text/event-stream` also what happens.",
        may: May::Server(Action::Status),
        query: events::PARAMETERS,
        body: None,
        answer: (200, Some("Events")),
        run: |call| events::events(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/publishers",
        id: "publishers",
        summary: "Who publishes, by feed.",
        may: May::Server(Action::Kick),
        query: &["limit", "after"],
        body: None,
        answer: (200, Some("Page")),
        run: |call| state::publishers(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/publishers/{feed}",
        id: "kick_publisher",
        summary: "Ends the publisher of a feed.",
        may: May::Server(Action::Kick),
        query: &[],
        body: None,
        answer: (204, None),
        run: |call| control::kick_publisher(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/hooks",
        id: "hooks",
        summary: "The hooks, by name: how far each is, and why it fails.",
        may: May::Server(Action::ConfigRead),
        query: LIST,
        body: None,
        answer: (200, Some("Page")),
        run: |call| hooks::hooks(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/hooks/{name}/test",
        id: "test_hook",
        summary: "Sends an event `hook.test` to a hook.",
        may: May::Server(Action::Users),
        query: &[],
        body: None,
        answer: (202, None),
        run: |call| hooks::test(call).boxed(),
    },
    Route {
        method: "POST",
        path: "/config/changes",
        id: "change",
        summary: "Several changes of the configuration: all or none.",
        may: May::Server(Action::ConfigWrite),
        query: DRY,
        body: Some("Changes"),
        answer: (200, Some("Outcome")),
        run: |call| config::changes(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/config/{section}",
        id: "entries",
        summary: "The entries of a section: feeds, streams, templates, sets.",
        may: May::Server(Action::ConfigRead),
        query: &["limit", "after", "name"],
        body: None,
        answer: (200, Some("Page")),
        run: |call| config::list(call).boxed(),
    },
    Route {
        method: "GET",
        path: "/config/{section}/{name}",
        id: "entry",
        summary: "An entry as its file has it.",
        may: May::Server(Action::ConfigRead),
        query: &[],
        body: None,
        answer: (200, Some("Entry")),
        run: |call| config::get(call).boxed(),
    },
    Route {
        method: "PUT",
        path: "/config/{section}/{name}",
        id: "put_entry",
        summary: "Creates or replaces an entry in its file.",
        may: May::Server(Action::ConfigWrite),
        query: DRY,
        body: Some("Entry"),
        answer: (200, Some("Outcome")),
        run: |call| config::put(call).boxed(),
    },
    Route {
        method: "PATCH",
        path: "/config/{section}/{name}",
        id: "patch_entry",
        summary: "Merges into an entry (RFC 7386).",
        may: May::Server(Action::ConfigWrite),
        query: DRY,
        body: Some("Entry"),
        answer: (200, Some("Outcome")),
        run: |call| config::patch(call).boxed(),
    },
    Route {
        method: "DELETE",
        path: "/config/{section}/{name}",
        id: "delete_entry",
        summary: "Removes an entry from its file.",
        may: May::Server(Action::ConfigWrite),
        query: DRY,
        body: None,
        answer: (200, Some("Outcome")),
        run: |call| config::delete(call).boxed(),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::route;

    #[test]
    fn the_first_route_that_fits_is_taken() {
        let find = |method, path: &str| {
            let path: Vec<_> = path.split('/').map(str::to_owned).collect();
            route::find(ROUTES, method, &path).map(|(route, parts)| (route.id, parts))
        };
        assert_eq!(find("GET", "feeds"), Ok(("feeds", vec![])));
        assert_eq!(find("HEAD", "feeds/cam 0"), Ok(("feed", vec!["cam 0".into()])));
        assert_eq!(find("POST", "streams/a/keyframe"), Ok(("keyframe", vec!["a".into()])));
        assert_eq!(find("POST", "streams/a/stop"), Ok(("order_stream", vec!["a".into(), "stop".into()])));
        assert_eq!(find("PUT", "feeds"), Err(vec!["GET"]));
        assert_eq!(find("PUT", "nothing"), Err(vec![]));
        assert_eq!(find("POST", "config/changes"), Ok(("change", vec![])));
    }

    #[test]
    fn names_are_unique_and_what_changes_needs_a_permission() {
        let mut names: Vec<_> = ROUTES.iter().map(|route| route.id).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROUTES.len());
        let open: Vec<_> = ROUTES.iter().filter(|route| route.may == May::Anyone).map(|route| route.id).collect();
        assert_eq!(open, ["document", "session", "login", "logout"]);
    }

    #[test]
    fn the_committed_document_is_that_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");
        let wanted = format!("{:#}\n", openapi::document(ROUTES));
        if std::env::var_os("VOYANDZ_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &wanted).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == wanted, "run the tests with VOYANDZ_WRITE_SCHEMA=1");
    }

    #[test]
    fn all_that_is_referred_to_exists() {
        let document = openapi::document(ROUTES);
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
