//! Looking into datagrams: what kinds of frames they carry, and taking some of them out.
//!
//! Which frames share a datagram is the sender's free choice, so a run in which one frame of a datagram is lost, or
//! comes late, is one that the network alone could have produced had they been packed otherwise.

use decury_common::base::id::{Incarnation, ViewId};
use decury_common::wire::membership::{Holding, Message, Parcel, ParcelKind};
use decury_common::wire::multicast::{Ack, Span};
use decury_common::wire::{Frame, Packer, Section, Unpacker};

/// The kinds of frames, with parcels told apart by what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Frame::Hello`].
    Hello,
    /// [`Frame::Ping`].
    Ping,
    /// [`Frame::Links`].
    Links,
    /// [`Frame::Beacon`].
    Beacon,
    /// [`Frame::Data`].
    Data,
    /// [`Frame::PacketNumber`].
    PacketNumber,
    /// [`Frame::Acks`].
    Acks,
    /// [`Frame::Request`].
    Request,
    /// [`Frame::Join`].
    Join,
    /// [`Frame::Refuse`].
    Refuse,
    /// [`Frame::Nack`].
    Nack,
    /// [`Frame::Ready`].
    Ready,
    /// [`Frame::Install`].
    Install,
    /// A [`Frame::Parcel`] of a `Prepare`.
    Prepare,
    /// A [`Frame::Parcel`] of a `Promise`.
    Promise,
    /// A [`Frame::Parcel`] of a `Cut`.
    Cut,
    /// A [`Frame::Parcel`] of a `Past`.
    Past,
    /// A [`Frame::Parcel`] of a `Recall`.
    Recall,
    /// [`Frame::Proposals`].
    Proposals,
    /// [`Frame::Decisions`].
    Decisions,
    /// [`Frame::Decided`].
    Decided,
    /// [`Frame::ParcelAck`].
    ParcelAck,
    /// [`Frame::Card`], [`Frame::Listing`], [`Frame::Acquaintance`].
    Gossip,
    /// Any other.
    Other,
}

impl Kind {
    /// The kind of a frame.
    pub fn of(frame: &Frame<'_>) -> Kind {
        match frame {
            Frame::Hello(_) => Kind::Hello,
            Frame::Ping(_) => Kind::Ping,
            Frame::Links(_) => Kind::Links,
            Frame::Beacon(_) => Kind::Beacon,
            Frame::Data(_) => Kind::Data,
            Frame::PacketNumber(_) => Kind::PacketNumber,
            Frame::Acks(_) => Kind::Acks,
            Frame::Request(_) => Kind::Request,
            Frame::Proposals(_) => Kind::Proposals,
            Frame::Decisions(_) => Kind::Decisions,
            Frame::Decided(_) => Kind::Decided,
            Frame::Join(_) => Kind::Join,
            Frame::Refuse(_) => Kind::Refuse,
            Frame::Nack(_) => Kind::Nack,
            Frame::Ready(_) => Kind::Ready,
            Frame::Install(_) => Kind::Install,
            Frame::Parcel(parcel) => match parcel.kind {
                ParcelKind::Prepare => Kind::Prepare,
                ParcelKind::Promise => Kind::Promise,
                ParcelKind::Cut => Kind::Cut,
                ParcelKind::Past => Kind::Past,
                ParcelKind::Recall => Kind::Recall,
            },
            Frame::ParcelAck(_) => Kind::ParcelAck,
            Frame::Card(_) | Frame::Listing(_) | Frame::Acquaintance(_) => Kind::Gossip,
            Frame::Section(_) => Kind::Other,
        }
    }
}

/// The attempt that a frame of the membership is about, as far as this frame alone tells (a parcel of several
/// fragments does not).
pub fn attempt(frame: &Frame<'_>) -> Option<ViewId> {
    match frame {
        Frame::Nack(nack) => Some(nack.attempt),
        Frame::Ready(ready) => Some(ready.attempt),
        Frame::Install(install) => Some(install.attempt),
        Frame::Parcel(parcel) => message(parcel).map(|message| message.attempt()),
        _ => None,
    }
}

/// The message in a parcel of a single fragment.
pub fn message(parcel: &Parcel<'_>) -> Option<Message> {
    if parcel.fragments == 1 { Message::decode(parcel.bytes).ok() } else { None }
}

/// The frames of a datagram that satisfy `wanted`, taken out of it: what stays and what was taken, each a datagram, or
/// `None` if it would be empty. A datagram that does not decode stays whole.
pub fn split(
    bytes: &[u8],
    mut wanted: impl FnMut(Option<Section>, &Frame<'_>) -> bool,
) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let whole = || (Some(bytes.to_vec()), None);
    let Ok((header, mut frames)) = Unpacker::new(bytes) else { return whole() };
    let (mut stays, mut taken) = (Packer::new(header), Packer::new(header));
    loop {
        match frames.next_frame() {
            Ok(Some((section, frame))) => {
                let packer = if wanted(section, &frame) { &mut taken } else { &mut stays };
                let fits = match section {
                    Some(section) => packer.push_in(section, &frame),
                    None => packer.push(&frame),
                };
                if !fits {
                    return whole();
                }
            }
            Ok(None) => break,
            Err(_) => return whole(),
        }
    }
    let filled = |packer: Packer| (!packer.is_empty()).then(|| packer.finish());
    (filled(stays), filled(taken))
}

/// How many nodes have passed a datagram on.
pub fn hops(bytes: &[u8]) -> u8 {
    Unpacker::new(bytes).map_or(0, |(header, _)| header.hops)
}

/// Whether a datagram carries nothing but what is said all the time.
pub fn is_heartbeat(bytes: &[u8]) -> bool {
    let Ok((_, mut frames)) = Unpacker::new(bytes) else { return false };
    while let Ok(Some((_, frame))) = frames.next_frame() {
        let is_usual = matches!(
            frame,
            Frame::Hello(_) | Frame::Ping(_) | Frame::Links(_) | Frame::Beacon(_) | Frame::Acks(_)
        );
        if !is_usual {
            return false;
        }
    }
    true
}

/// A datagram in short, for traces. Numbers that are identities appear in full, to be replaced by names later.
pub fn describe(bytes: &[u8]) -> String {
    let Ok((header, mut frames)) = Unpacker::new(bytes) else {
        return format!("{} foreign bytes", bytes.len());
    };
    let mut text = match header.to {
        Some(Incarnation(0)) | None => String::from("(to an address)"),
        Some(to) if header.hops > 0 => format!("({} to {to}, hop {})", header.from, header.hops + 1),
        Some(_) => String::new(),
    };
    let mut current = None;
    loop {
        match frames.next_frame() {
            Ok(Some((section, frame))) => {
                if section != current
                    && let Some(Section { view, .. }) = section
                {
                    text += &view.map_or_else(|| " [joiner]".to_owned(), |view| format!(" [{view}]"));
                }
                current = section;
                text.push(' ');
                text += &describe_frame(&frame);
            }
            Ok(None) => return text,
            Err(error) => return format!("{text} ({error})"),
        }
    }
}

fn describe_frame(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Hello(hello) => {
            let echo = hello.echo.map_or_else(String::new, |echo| format!("/{}", echo.number));
            format!("hello {}{echo}{}", hello.number, if hello.probe { " probe" } else { "" })
        }
        Frame::Ping(ping) => format!("ping {}{}", ping.way, if ping.slow { " slow" } else { "" }),
        Frame::Links(links) => {
            let heard = links.peers.iter().filter(|peer| peer.is_heard());
            let heard: Vec<String> = heard.map(|peer| peer.node.to_string()).collect();
            format!("links {} #{} {{{}}}", links.origin, links.number, heard.join(" "))
        }
        Frame::Beacon(beacon) => {
            let promised = beacon.promised.map_or_else(String::new, |view| format!(" promised {view}"));
            let frozen = if beacon.frozen { " frozen" } else { "" };
            let leaving = if beacon.leaving { " leaving" } else { "" };
            format!("beacon {} r{}/{}{promised}{frozen}{leaving}", beacon.member, beacon.rank, beacon.members)
        }
        Frame::Data(data) => {
            let head = data.head.as_ref().map_or_else(String::new, |head| {
                let deps: Vec<String> = head.deps.iter().map(|(rank, n)| format!("r{rank}:{n}")).collect();
                format!(" m{}{{{}}}", head.count, deps.join(","))
            });
            format!("data r{}#{}{head}{}", data.sender, data.seq, if data.last { "" } else { "…" })
        }
        Frame::Acks(acks) => {
            let of: Vec<String> = acks.of.iter().map(describe_ack).collect();
            format!("acks {} stable {}", of.join(" "), acks.stable)
        }
        Frame::Request(request) => {
            let ranges: Vec<String> =
                request.ranges.iter().map(|w| format!("r{}#{}-{}", w.sender, w.first, w.last)).collect();
            format!("request {}", ranges.join(" "))
        }
        Frame::Parcel(parcel) => match message(parcel) {
            Some(message) => format!("parcel {} {}", parcel.number, describe_message(&message)),
            None => {
                let kind = parcel.kind;
                format!("parcel {} {kind:?} {}/{}", parcel.number, parcel.fragment + 1, parcel.fragments)
            }
        },
        frame => {
            let text = format!("{frame:?}");
            text.chars().take(120).collect()
        }
    }
}

fn describe_ack(ack: &Ack) -> String {
    let held = if ack.undelivered > 0 { format!("-{}", ack.undelivered) } else { String::new() };
    format!("{}{held}{}", ack.contiguous, describe_spans(&ack.beyond))
}

fn describe_holding(holding: &Holding) -> String {
    format!("{}{}", holding.contiguous, describe_spans(&holding.beyond))
}

fn describe_spans(spans: &[Span]) -> String {
    spans.iter().map(|span| format!("+{}~{}", span.gap, span.len)).collect()
}

fn describe_message(message: &Message) -> String {
    match message {
        Message::Prepare(prepare) => {
            let members: Vec<String> = prepare.members.iter().map(ToString::to_string).collect();
            format!("PREPARE {} {{{}}} of {}", prepare.attempt, members.join(" "), prepare.participants.len())
        }
        Message::Promise(promise) => match &promise.prior {
            Some(prior) => {
                let holdings: Vec<String> = prior.holdings.iter().map(describe_holding).collect();
                format!(
                    "PROMISE {} from {} r{} {}",
                    promise.attempt,
                    prior.view,
                    prior.rank,
                    holdings.join(" ")
                )
            }
            None => format!("PROMISE {} from nowhere", promise.attempt),
        },
        Message::Cut(cut) => {
            let priors: Vec<String> = cut
                .priors
                .iter()
                .map(|prior| format!("{} upto {:?} by {}", prior.view, &*prior.upto, prior.holders.len()))
                .collect();
            format!("CUT {} {}", cut.attempt, priors.join("; "))
        }
        Message::Recall(recall) => {
            let who = if recall.is_new { "of all" } else { "of that side" };
            format!("RECALL before {} {who}, part {}, knows {}", recall.view, recall.part, recall.known.len())
        }
        Message::Past(past) => {
            let (said, more) = (past.said.len(), if past.more { ", more" } else { "" });
            let known = past.known.as_ref().map(|known| known.len());
            format!("PAST before {}, part {}: {said}{more}, knows {known:?}", past.view, past.part)
        }
    }
}
