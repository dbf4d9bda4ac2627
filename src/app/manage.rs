//! The pages for those who change something, with the permission that each needs.

use super::paths::is_free;
use crate::{
    access::Action,
    api::{configurator::Configurator, texts::masked_text},
    config::{Config, Loaded},
    engine::registry::Registry,
    output::http::{
        access_log::LowPriorityLog,
        authorize::Need,
        router::{Page, PageRequest},
    },
    status::snapshot::StatusReader,
    web::{
        manage::{
            self, Module, access, add,
            editor::{self, Change, File, Known},
            feeds, hooks, journal, viewers,
        },
        page::Menu,
        state::is_refresh,
    },
};
use std::{collections::HashMap, sync::Arc};

/// Changes that the page lists without its script.
const LISTED: usize = 20;

/// A page: its label in the menu, its path and script, and what it needs.
type Entry = (&'static str, &'static str, Module, Action);

/// All of them, in the order of the menu.
const ENTRIES: [Entry; 7] = [
    ("Add", add::PATH, add::SCRIPT, Action::ConfigWrite),
    ("Feeds", feeds::PATH, feeds::SCRIPT, Action::Status),
    ("Viewers", viewers::PATH, viewers::SCRIPT, Action::Kick),
    ("Events", journal::PATH, journal::SCRIPT, Action::Status),
    ("Configuration", editor::PATH, editor::SCRIPT, Action::ConfigRead),
    ("Hooks", hooks::PATH, hooks::SCRIPT, Action::ConfigRead),
    ("Access", access::PATH, access::SCRIPT, Action::Users),
];

/// Those that there are: a stream of the same path goes first.
fn entries<'a>(config: &'a Config, registry: &'a Registry) -> impl Iterator<Item = Entry> + 'a {
    ENTRIES.into_iter().filter(|(_, path, ..)| {
        config.pages.home
            && is_free(registry, path)
            && (*path != add::PATH || config.api.editing.permits_change())
            && (*path != hooks::PATH || !config.hooks.is_empty())
    })
}

/// Their links in the menu, with what each needs.
pub(super) fn links(config: &Config, registry: &Registry) -> Vec<(&'static str, String, Action)> {
    entries(config, registry).map(|(label, path, _, action)| (label, path.to_owned(), action)).collect()
}

/// Adds them.
pub(super) fn insert(
    pages: &mut HashMap<String, Page>,
    config: &Config,
    registry: &Registry,
    configurator: &Configurator,
    (reader, menu): (&Arc<StatusReader>, &Menu),
) {
    for (_, path, script, action) in entries(config, registry) {
        let (menu, registry, configurator) = (menu.clone(), registry.clone(), configurator.clone());
        let (reader, known) = (reader.clone(), config.hooks.clone());
        let is_writable = config.api.editing.permits_change();
        let page = move |request: PageRequest<'_>| {
            let PageRequest { access, site, query, .. } = request;
            match path {
                add::PATH => add::page(&menu, access, &registry),
                viewers::PATH => viewers::page(&menu, access, &registry),
                journal::PATH => journal::page(&menu, access),
                feeds::PATH => {
                    let mut page = feeds::page(&menu, access, &reader, &registry);
                    if is_refresh(query) {
                        page.extensions_mut().insert(LowPriorityLog);
                    }
                    page
                }
                hooks::PATH => hooks::page(&menu, access, &known),
                access::PATH => access::page(&menu, access, &registry, &site.to_string(), query),
                _ => {
                    let loaded = configurator.current();
                    let known = Known {
                        feeds: registry.feeds().iter().map(|feed| feed.config.name.as_str()).collect(),
                        templates: &loaded.templates,
                    };
                    editor::page(&menu, access, &files(&loaded), &changes(&configurator), is_writable, &known)
                }
            }
        };
        pages.insert(path.to_owned(), Page::new(Need::Server(action), page));
        pages.insert(script.path.to_owned(), Page::new(Need::Nothing, move |_| script.response()));
        if path == editor::PATH {
            for part in editor::PARTS {
                pages.insert(part.path.to_owned(), Page::new(Need::Nothing, move |_| part.response()));
            }
            pages.insert(editor::SCHEMA_PATH.to_owned(), Page::new(Need::Nothing, |_| editor::schema()));
        }
    }
    if config.pages.home {
        pages.insert(manage::SHARED.path.to_owned(), Page::new(Need::Nothing, |_| manage::SHARED.response()));
    }
}

fn files(loaded: &Loaded) -> Vec<File> {
    loaded.texts().map(|(name, text)| File { name: name.to_owned(), text: masked_text(text) }).collect()
}

fn changes(configurator: &Configurator) -> Vec<Change> {
    let versions = configurator.history().list().into_iter().take(LISTED);
    let change = |version: crate::store::Version| Change {
        number: version.number,
        time: version.time,
        by: version.by,
        paths: version.paths,
    };
    versions.map(change).collect()
}
