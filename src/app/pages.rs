//! The pages that a configuration enables, with the permission that each needs.

use super::{manage, paths::is_free};
use crate::{
    access::Action,
    api::configurator::Configurator,
    config::{self, Config},
    engine::registry::Registry,
    output::{
        hls::table::listed,
        http::{
            access_log::LowPriorityLog,
            authorize::Need,
            response::Response,
            router::{Page, PageRequest},
        },
    },
    status::{events::EventHub, health, metrics, server_info::ServerInfo, snapshot::StatusReader, state},
    web::{self, offers::Reach, page::Menu},
};
use std::{collections::HashMap, sync::Arc};

/// A page that programs request every few seconds: its successful requests are logged at debug level.
fn low_priority(need: Need, page: impl Fn(PageRequest<'_>) -> Response + Send + Sync + 'static) -> Page {
    Page::new(need, move |request| as_low_priority(page(request)))
}

fn as_low_priority(mut response: Response) -> Response {
    response.extensions_mut().insert(LowPriorityLog);
    response
}

/// What the pages of the state need.
fn status() -> Need {
    Need::Server(Action::Status)
}

/// Whether there is a page of recordings.
fn has_recordings(config: &Config, registry: &Registry) -> bool {
    is_free(registry, web::recordings::PATH) && config.streams.iter().any(|stream| stream.recording.is_some())
}

/// Whether there is a page where one logs in.
pub(super) fn has_login(config: &Config, registry: &Registry) -> bool {
    config.pages.home && is_free(registry, web::login::PATH)
}

/// Whether browsers are led there: there are users.
pub(super) fn leads_to_login(config: &Config, registry: &Registry) -> bool {
    has_login(config, registry) && config.auth.has_passwords()
}

/// The links above all pages.
fn menu(config: &Config, registry: &Registry) -> Menu {
    let home = |label, path: &str| Some((label, path.to_owned(), Action::Status)).filter(|_| config.pages.home);
    let wall = home("Wall", web::wall::PATH).filter(|(_, path, _)| is_free(registry, path));
    let recordings = home("Recordings", web::recordings::PATH).filter(|_| has_recordings(config, registry));
    let state = config.pages.stat.as_ref().map(|path| ("State", path.encoded(), Action::Status));
    let login = leads_to_login(config, registry).then_some(web::login::PATH);
    let links = manage::links(config, registry).into_iter().map(Some);
    let entries = [home("Streams", "/"), wall, recordings].into_iter().chain(links).chain([state]);
    Menu::new(entries.flatten().collect(), login)
}

/// The pages that the configuration enables.
pub(super) fn pages(
    config: &Config,
    registry: &Registry,
    info: &ServerInfo,
    events: &EventHub,
    configurator: &Configurator,
) -> HashMap<String, Page> {
    let mut pages: HashMap<String, Page> = HashMap::new();
    let reader = Arc::new(StatusReader::new(registry, config, info));
    let menu = menu(config, registry);
    manage::insert(&mut pages, config, registry, configurator, (&reader, &menu));
    if config.pages.home {
        let listed = listed(registry.streams());
        let context = Arc::new(web::player::Context::new(config, registry, &reader, &menu));
        for stream in registry.streams() {
            let playlist = listed.contains(stream.config.name.as_str());
            let reach = Reach { webrtc: config.webrtc.is_some(), playlist };
            let need = || Need::Stream(Action::View, stream.config.name.as_str().into());
            for path in [format!("/stream/{}", stream.config.name), stream.config.path.to_string()] {
                let (shown, context) = (stream.clone(), context.clone());
                let page = move |request: PageRequest<'_>| {
                    let PageRequest { access, site, query, .. } = request;
                    let page = web::player::page(&shown, reach, &context, access, &site.to_string(), query);
                    if web::state::is_refresh(query) { as_low_priority(page) } else { page }
                };
                pages.insert(format!("{path}/play"), Page::new(need(), page));
                let offered = stream.clone();
                let offers =
                    move |request: PageRequest<'_>| as_low_priority(web::offers::page(&offered, reach, request.query));
                pages.insert(format!("{path}{}", web::offers::PATH), Page::new(need(), offers).for_any_origin());
            }
        }
        let script = Page::new(Need::Nothing, |_| web::player::script()).for_any_origin();
        pages.insert(web::player::SCRIPT_PATH.to_owned(), script);
        pages.insert(web::player::WATCH_PATH.to_owned(), Page::new(Need::Nothing, |_| web::player::watch_script()));
        pages.insert(web::home::SCRIPT_PATH.to_owned(), Page::new(Need::Nothing, |_| web::home::script()));
        let shown = (reader.clone(), registry.clone(), menu.clone());
        let page = move |request: PageRequest<'_>| {
            let (reader, registry, menu) = &shown;
            let page = web::home::page(reader, registry, menu, request.access, &request.site.to_string());
            if web::state::is_refresh(request.query) { as_low_priority(page) } else { page }
        };
        pages.insert("/".to_owned(), Page::new(status(), page));
        if has_recordings(config, registry) {
            let shown = (reader.clone(), menu.clone());
            let page = move |request: PageRequest<'_>| web::recordings::page(&shown.0, &shown.1, request.access);
            pages.insert(web::recordings::PATH.to_owned(), Page::new(status(), page));
            let script = Page::new(Need::Nothing, |_| web::recordings::script());
            pages.insert(web::recordings::SCRIPT_PATH.to_owned(), script);
        }
        if has_login(config, registry) {
            let menu = menu.clone();
            let page = move |request: PageRequest<'_>| web::login::page(&menu, request.access, request.query);
            pages.insert(web::login::PATH.to_owned(), Page::new(Need::Nothing, page));
            let script = Page::new(Need::Nothing, |_| web::login::script());
            pages.insert(web::login::SCRIPT_PATH.to_owned(), script);
        }
        if is_free(registry, web::wall::PATH) {
            let shown = (reader.clone(), registry.clone(), menu.clone());
            let page = move |request: PageRequest<'_>| {
                let (reader, registry, menu) = &shown;
                let page = web::wall::page(reader, registry, menu, request.access, request.query);
                if web::state::is_refresh(request.query) { as_low_priority(page) } else { page }
            };
            pages.insert(web::wall::PATH.to_owned(), Page::new(status(), page));
        }
    }
    if let (Some(path), Some(script)) = (&config.pages.stat, config.pages.stat_script()) {
        let (reader, menu) = (reader.clone(), menu.clone());
        let page = move |request: PageRequest<'_>| {
            let page = web::state::page(&reader, &menu, request.access);
            if web::state::is_refresh(request.query) { as_low_priority(page) } else { page }
        };
        pages.insert(path.to_string(), Page::new(status(), page));
        pages.insert(script, Page::new(Need::Nothing, |_| web::state::script()));
    }
    for path in ["/livez", "/healthz"] {
        let reader = reader.clone();
        pages.insert(path.to_owned(), low_priority(Need::Nothing, move |_| health::live(&reader)));
    }
    let judged = reader.clone();
    let ready = move |request: PageRequest<'_>| health::ready(&judged, request.query, request.access);
    pages.insert("/readyz".to_owned(), low_priority(Need::Nothing, ready));
    if config.pages.metrics {
        let reader = reader.clone();
        pages.insert(
            "/metrics".to_owned(),
            low_priority(status(), move |request| metrics::page(&reader, request.access)),
        );
    }
    events.set_source(config.pages.events.then(|| reader.clone()));
    if config.pages.events {
        let events = events.clone();
        let page = move |request: PageRequest<'_>| {
            let client = request.client.clone();
            events.page(request.last_event, request.access, Box::pin(async move { client.wait().await }))
        };
        pages.insert("/events".to_owned(), Page::new(status(), page));
    }
    if let Some(path) = &config.pages.stat_json {
        pages.insert(path.to_string(), low_priority(status(), move |request| state::json(&reader, request.access)));
    }
    if config.pages.config {
        let json = config::to_json(&config::masked(config));
        let need = Need::Server(Action::ConfigRead);
        pages.insert("/config".to_owned(), Page::new(need, move |_| web::config::page(&json)));
    }
    pages
}
