//! What is written into pictures, seen as pixels.

use crate::rig::{SOON, Server, media, multipart, wait_until};
use image::{GenericImageView, GrayImage};

/// A black picture for every stream.
const BLACK: &str =
    "videotestsrc is-live=true pattern=black ! video/x-raw,width=320,height=240,framerate=25/1 ! queue name=video";

fn server() -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{BLACK}', mode: 5}}}}
        streams:
          plain.ts: {{feed: cam, video: true}}
          text.ts: {{feed: cam, overlay: {{text: '<b>50%clock'}}}}
          two.ts: {{feed: cam, overlay: {{text: \"one\\ntwo\"}}}}
          clock.ts: {{feed: cam, overlay: {{clock: true}}}}
          counter.mjpeg: {{feed: cam, overlay: {{counter: true}}}}
          fps.ts: {{feed: cam, video: {{codec: h264, fps: 5}}, overlay: {{fps: true}}}}
          five.ts: {{feed: cam, overlay: {{text: '5.0 fps'}}}}
          byhand.mjpeg: {{feed: cam, pipeline: 'video. ! videoconvert ! textoverlay text=\"%counter\" ! jpegenc'}}
        "
    ))
}

/// The picture that goes into a stream's encoder now.
fn picture(server: &Server, stream: &str) -> GrayImage {
    let mut answer = server.get(&format!("/{stream}/pic.png"));
    assert_eq!(answer.status, 200, "{stream}");
    media::picture(&answer.rest(SOON)).to_luma8()
}

/// How many pixels of these rows are bright.
fn bright(picture: &GrayImage, rows: std::ops::Range<u32>) -> usize {
    picture
        .view(0, rows.start, picture.width(), rows.len() as u32)
        .pixels()
        .filter(|(.., luma)| luma.0[0] > 100)
        .count()
}

#[test]
fn letters_are_in_the_pictures_and_only_where_they_are_wanted() {
    let server = server();
    let (upper, lower) = (0..80, 120..240);
    assert_eq!(bright(&picture(&server, "plain.ts"), 0..240), 0);
    for stream in ["text.ts", "two.ts", "clock.ts", "fps.ts", "counter.mjpeg"] {
        let picture = picture(&server, stream);
        // A single 1 is as little as this.
        assert!(bright(&picture, upper.clone()) > 5, "nothing is written into {stream}");
        assert_eq!(bright(&picture, lower.clone()), 0, "{stream}");
    }
    // A text stands still, and takes a line more with each.
    assert_eq!(picture(&server, "text.ts"), picture(&server, "text.ts"));
    let height = |picture: &GrayImage| (0..240).filter(|row| bright(picture, *row..row + 1) > 0).max().unwrap();
    let (one, two) = (height(&picture(&server, "text.ts")), height(&picture(&server, "two.ts")));
    assert!(two > one + 5, "{one} and {two}");
}

#[test]
fn what_changes_is_another_in_each_picture() {
    let server = server();
    for stream in ["counter.mjpeg", "clock.ts", "byhand.mjpeg"] {
        let first = picture(&server, stream);
        wait_until(&format!("another text in {stream}"), SOON, || picture(&server, stream) != first);
    }
    // All that viewers get of a stream, one after the other.
    let mut viewer = server.get("/counter.mjpeg");
    let kind = viewer.header("content-type").unwrap().to_owned();
    let bytes = viewer.take_until(SOON, |bytes| multipart::parts(&kind, bytes).len() >= 12);
    let pictures = multipart::parts(&kind, &bytes);
    for pair in pictures.windows(2) {
        let [one, two] = [0, 1].map(|at| media::picture(pair[at]).to_luma8());
        assert!(bright(&one, 0..80) > 5 && bright(&one, 120..240) == 0);
        assert_ne!(one, two, "the same number twice");
    }
}

#[test]
fn the_rate_of_pictures_is_the_one_that_the_stream_has() {
    let server = server();
    let expected = picture(&server, "five.ts");
    let _viewer = server.get("/fps.ts").kept();
    wait_until("it says 5.0 fps", SOON, || picture(&server, "fps.ts") == expected);
}
