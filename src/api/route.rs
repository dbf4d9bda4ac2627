//! An operation of the API: a path, who may, and what runs. Pure.

use super::{
    call::{Answer, Call},
    problem::Problem,
};
use crate::access::Action;
use futures_util::future::BoxFuture;

/// One operation.
pub(super) struct Route {
    pub(super) method: &'static str,
    /// Below `/api/v1`; `{name}` stands for one part.
    pub(super) path: &'static str,
    /// Its name in the document and on the command line.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) may: May,
    /// Parameters of the query.
    pub(super) query: &'static [&'static str],
    /// The schema of the body, where there is one.
    pub(super) body: Option<&'static str>,
    /// The status and schema of success.
    pub(super) answer: (u16, Option<&'static str>),
    pub(super) run: fn(Call) -> BoxFuture<'static, Result<Answer, Problem>>,
}

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    Anyone,
    /// Who has this on the server.
    Server(Action),
    /// Who has this on the stream that the path names first.
    Stream(Action),
}

/// What a path leads to: the route, and the parts that its names stand for. Without one, the methods that the path has.
pub(super) fn find(
    routes: &'static [Route],
    method: &str,
    path: &[String],
) -> Result<(&'static Route, Vec<String>), Vec<&'static str>> {
    let fitting = routes.iter().filter_map(|route| Some((route, parts(route.path, path)?)));
    let mut methods = Vec::new();
    for (route, parts) in fitting {
        if route.method == method || (route.method == "GET" && method == "HEAD") {
            return Ok((route, parts));
        }
        methods.push(route.method);
    }
    Err(methods)
}

fn parts(pattern: &str, path: &[String]) -> Option<Vec<String>> {
    let wanted: Vec<_> = pattern.split('/').skip(1).collect();
    if wanted.len() != path.len() {
        return None;
    }
    let mut found = Vec::new();
    for (wanted, part) in wanted.iter().zip(path) {
        if wanted.starts_with('{') {
            found.push(part.clone());
        } else if wanted != part {
            return None;
        }
    }
    Some(found)
}
