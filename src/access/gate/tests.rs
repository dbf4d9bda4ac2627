//! Tests of [`super`].

use super::*;
use crate::access::{
    permission::Permissions,
    policy::{Grant, User},
};

fn gate() -> Gate {
    let user = |name: &str| User {
        name: name.into(),
        password: Some(Arc::new(PasswordHash::of("right").unwrap())),
        digest: None,
        certificates: Vec::new(),
        grant: Grant { may: Permissions::default(), ..Grant::default() },
    };
    let policy = Policy {
        users: vec![user("anna")],
        link_keys: vec![("k".into(), Secret::new("x".repeat(32)))],
        ..Policy::default()
    };
    Gate::new(policy, KeySet::default()).unwrap()
}

fn basic(password: &str) -> Presented {
    Presented::Basic { user: "anna".to_owned(), password: Secret::new(password) }
}

fn peer(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[tokio::test]
async fn a_right_password_is_checked_once_a_minute() {
    let gate = gate();
    let began = Instant::now();
    assert!(gate.identify(basic("right"), peer(1)).await.is_ok());
    let first = began.elapsed();
    let began = Instant::now();
    for _ in 0..1000 {
        assert!(gate.identify(basic("right"), peer(1)).await.is_ok());
    }
    let cached = began.elapsed() / 1000;
    println!("a check of a password: {first:?}, of a remembered one: {cached:?}");
    assert!(cached * 100 < first, "{first:?} {cached:?}");
    // A wrong one is not, and a changed one neither.
    assert!(matches!(gate.identify(basic("wrong"), peer(1)).await, Err(Rejection::Wrong)));
    let mut policy = gate.policy().policy().clone();
    policy.users[0].password = Some(Arc::new(PasswordHash::of("new").unwrap()));
    assert!(gate.set_policy(policy.clone(), KeySet::default()) && !gate.set_policy(policy, KeySet::default()));
    assert!(matches!(gate.identify(basic("right"), peer(1)).await, Err(Rejection::Wrong)));
}

/// A link that is good for a minute.
fn link() -> Presented {
    let until = SystemTime::now() + Duration::from_secs(60);
    let link = Link {
        key: "k".to_owned(),
        actions: vec![Action::View],
        streams: crate::access::permission::Pattern::everything(),
        open_until: until,
        until,
        network: None,
        name: String::new(),
    };
    Presented::Link(Secret::new(link.sign(&Secret::new("x".repeat(32)))))
}

#[tokio::test]
async fn a_link_is_good_for_the_key_that_signed_it() {
    let gate = gate();
    assert!(gate.identify(link(), peer(1)).await.is_ok());
    let forged = Presented::Link(Secret::new("x.y"));
    assert_eq!(gate.identify(forged, peer(1)).await, Err(LinkError::Invalid.into()));
}

#[tokio::test]
#[ignore = "measures: `ci/long` runs it, with a release build"]
async fn known_credentials_cost_little() {
    const MOST: Duration = Duration::from_micros(5);
    let gate = gate();
    // Once in full.
    assert!(gate.identify(basic("right"), peer(1)).await.is_ok());
    for (name, presented) in [("a remembered password", basic("right")), ("a link", link())] {
        let mut batches = Vec::new();
        for _ in 0..100 {
            let began = Instant::now();
            for _ in 0..100 {
                assert!(gate.identify(presented.clone(), peer(1)).await.is_ok());
            }
            batches.push(began.elapsed() / 100);
        }
        batches.sort();
        println!("{name}: {:?}, in the worst of 100 batches {:?}", batches[50], batches[99]);
        assert!(batches[50] <= MOST, "{name}: {:?}", batches[50]);
    }
}

#[tokio::test]
async fn few_passwords_are_checked_at_a_time() {
    let gate = gate();
    let attempts = (0..100).map(|number| {
        let gate = gate.clone();
        tokio::spawn(async move { gate.identify(basic("wrong"), peer(number)).await })
    });
    let (mut wrong, mut busy) = (0, 0);
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            Err(Rejection::Wrong) => wrong += 1,
            Err(Rejection::TooMany { retry_after: BUSY }) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(wrong + busy, 100);
    assert!((CHECKS + WAITING..50).contains(&wrong), "{wrong}");
    // Who was turned away has lost no try.
    let tries = gate.identify(basic("right"), peer(99)).await;
    assert!(tries.is_ok(), "{tries:?}");
}
