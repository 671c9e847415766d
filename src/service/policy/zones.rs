//! What the clock may show where a number is.
//!
//! A number tells its area code or its country, and either may lie in several zones: all of them are given,
//! and a call is in time only when it is in time in all. A mobile telephone may be elsewhere; nothing in its
//! number says so.
//!
//! Sources: libphonenumber's map of prefixes to zones (9.0), corrected where it joins countries that keep
//! different clocks, and IANA's tz database for the zones' rules. Overlays have the clocks of the codes they
//! overlay. Where summer time is disputed or moves from year to year (western Canada, Chile, Cuba, Egypt,
//! Israel, Lebanon, Morocco, Palestine) a place has the clocks of both seasons.

use super::clock::{Clock, Season};
use crate::base::E164;

/// Every clock of the place that a number belongs to; `None` for one of no known place, such as a toll-free
/// number.
pub(super) fn clocks(number: &E164) -> Option<&'static [Clock]> {
    match number.digits().strip_prefix('1') {
        Some(national) => find(AREA_CODES, national.get(..3)?),
        // No country code begins another.
        None => (1..=3).find_map(|length| find(COUNTRIES, number.digits().get(..length)?)),
    }
}

fn find(table: &[(&str, &'static [Clock])], code: &str) -> Option<&'static [Clock]> {
    table.iter().find(|(codes, _)| codes.split(' ').any(|c| c == code)).map(|(_, clocks)| *clocks)
}

const fn at(offset: i16) -> Clock {
    Clock::Fixed(offset)
}

const fn us(winter: i16) -> Clock {
    Clock::Summer(winter, Season::America)
}

const fn eu(winter: i16) -> Clock {
    Clock::Summer(winter, Season::Europe)
}

const fn au(winter: i16) -> Clock {
    Clock::Summer(winter, Season::Australia)
}

const fn nz(winter: i16) -> Clock {
    Clock::Summer(winter, Season::NewZealand)
}

/// North American area codes, without those of no place (toll-free and personal numbers).
const AREA_CODES: &[(&str, &[Clock])] = &[
    ("684", &[at(-660)]),
    ("808", &[at(-600)]),
    ("907", &[us(-600), us(-540)]),
    (
        "206 209 213 253 279 310 323 341 350 357 360 369 408 415 424 425 442 503 509 510 530 559 \
         562 564 619 626 628 650 657 661 669 702 707 714 725 738 747 760 805 818 820 831 837 840 \
         858 909 916 925 949 951 971",
        &[us(-480)],
    ),
    ("208 458 541 775 986", &[us(-480), us(-420)]),
    ("236 250 257 604 672 778", &[at(-480), at(-420), at(-360)]),
    ("480 520 602 623", &[at(-420)]),
    ("303 307 385 406 435 505 575 719 720 748 801 915 970 983", &[us(-420)]),
    ("306 368 403 474 587 639 780 825", &[at(-420), at(-360)]),
    ("928", &[at(-420), us(-420)]),
    ("867", &[at(-420), us(-360), us(-300)]),
    ("308 605 620 701 785", &[us(-420), us(-360)]),
    (
        "205 210 214 217 218 224 225 228 235 251 254 256 262 274 281 309 312 314 316 318 319 320 \
         325 327 331 334 337 346 353 361 402 405 409 414 417 430 432 447 457 464 469 471 479 483 \
         501 504 507 512 515 531 534 539 557 563 572 573 580 601 608 612 615 618 621 629 630 636 \
         641 651 659 660 662 682 689 708 712 713 715 726 730 731 737 763 769 773 779 806 815 816 \
         817 830 832 847 861 870 872 901 903 913 918 920 924 931 936 938 940 945 952 956 972 975 \
         979 985",
        &[us(-360)],
    ),
    ("204 431 584", &[at(-360), at(-300)]),
    ("219 270 364 423 448 574 606 729 807 812 850 906 930", &[us(-360), us(-300)]),
    ("345 658 876", &[at(-300)]),
    (
        "201 202 203 207 212 215 216 220 223 226 227 229 231 234 239 240 242 248 249 252 260 263 \
         267 269 272 273 276 283 289 301 302 304 305 313 315 317 321 324 326 329 330 332 336 339 \
         343 347 351 352 354 363 365 380 382 386 401 404 407 410 412 413 416 419 434 436 437 438 \
         440 443 445 450 463 468 470 472 475 478 484 502 508 513 514 516 517 518 519 540 548 551 \
         561 567 570 571 579 582 585 586 603 607 609 610 613 614 616 617 624 631 640 645 646 647 \
         649 656 667 678 679 680 681 683 686 703 704 705 706 716 717 718 724 727 728 732 734 740 \
         742 743 753 754 757 762 765 770 771 772 774 781 786 802 803 804 810 813 814 819 821 826 \
         828 835 838 839 843 845 848 854 856 857 859 860 862 863 864 865 873 878 904 905 908 910 \
         912 914 917 919 929 934 937 941 942 943 947 948 954 959 973 978 980 984 989",
        &[us(-300)],
    ),
    ("367 418 581", &[us(-300), us(-240)]),
    ("246 264 268 284 340 473 664 721 758 767 784 787 809 829 849 868 869 939", &[at(-240)]),
    ("428 441 506 782 902", &[us(-240)]),
    ("709 879", &[us(-240), us(-210)]),
    ("670 671", &[at(600)]),
];

/// Country codes but +1.
const COUNTRIES: &[(&str, &[Clock])] = &[
    ("683", &[at(-660)]),
    ("682", &[at(-600)]),
    ("689", &[at(-600), at(-540)]),
    ("52", &[us(-480), at(-420), at(-360), at(-300)]),
    ("501 502 503 504 505 506", &[at(-360)]),
    ("593", &[at(-360), at(-300)]),
    ("507 51 57", &[at(-300)]),
    ("509", &[us(-300)]),
    ("53", &[at(-300), at(-240)]),
    ("55", &[at(-300), at(-240), at(-180), at(-120)]),
    ("297 58 590 591 592 596 599", &[at(-240)]),
    ("56", &[at(-240), at(-180)]),
    ("299", &[us(-240), eu(-120)]),
    ("500 54 594 595 597 598", &[at(-180)]),
    ("508", &[us(-180)]),
    ("238", &[at(-60)]),
    ("351", &[eu(-60), eu(0)]),
    ("298 353 44", &[eu(0)]),
    ("220 221 222 223 224 225 226 228 231 232 233 239 245 247 290 354", &[at(0)]),
    ("34", &[eu(0), eu(60)]),
    ("212", &[at(0), at(60)]),
    (
        "31 32 33 350 352 355 356 36 376 377 378 381 382 383 385 386 387 389 39 41 420 421 423 43 \
         45 46 47 48 49",
        &[eu(60)],
    ),
    ("213 216 227 229 234 235 236 237 240 241 242 244", &[at(60)]),
    ("243", &[at(60), at(120)]),
    ("30 357 358 359 370 371 372 373 380 40", &[eu(120)]),
    ("218 249 250 257 258 260 263 264 265 266 267 268 27", &[at(120)]),
    ("20 961 970 972", &[at(120), at(180)]),
    ("7", &[at(120), at(240), at(360), at(480), at(600), at(720)]),
    ("211 251 252 253 254 255 256 261 269 291 375 90 962 963 964 965 966 967 973 974", &[at(180)]),
    ("262", &[at(180), at(240)]),
    ("98", &[at(210)]),
    ("230 248 374 968 971 994 995", &[at(240)]),
    ("93", &[at(270)]),
    ("92 960 992 993 998", &[at(300)]),
    ("91 94", &[at(330)]),
    ("977", &[at(345)]),
    ("246 880 975 996", &[at(360)]),
    ("95", &[at(390)]),
    ("61", &[at(390), at(480), at(570), at(660)]),
    ("66 84 855 856", &[at(420)]),
    ("976", &[at(420), at(480)]),
    ("62", &[at(420), at(540)]),
    ("60 63 65 673 852 853 86 886", &[at(480)]),
    ("670 680 81 82 850", &[at(540)]),
    ("675", &[at(600)]),
    ("691", &[at(600), at(660)]),
    ("672", &[au(660)]),
    ("677 678 687", &[at(660)]),
    ("674 679 681 688 692", &[at(720)]),
    ("686", &[at(720), at(840)]),
    ("64", &[nz(720), at(825)]),
    ("676 685 690", &[at(780)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_clocks_of_their_place() {
        for (number, clocks_there) in [
            ("+14155550123", Some(&[us(-480)][..])),
            ("+12125550123", Some(&[us(-300)])),
            ("+16025550123", Some(&[at(-420)])),
            ("+18505550123", Some(&[us(-360), us(-300)])),
            ("+442079460123", Some(&[eu(0)])),
            ("+912212345678", Some(&[at(330)])),
            ("+18005550123", None),
            ("+88212345678", None),
        ] {
            assert_eq!(clocks(&number.parse().unwrap()), clocks_there, "{number}");
        }
    }

    #[test]
    fn no_code_stands_twice() {
        for table in [AREA_CODES, COUNTRIES] {
            let mut codes: Vec<&str> = table.iter().flat_map(|(codes, _)| codes.split(' ')).collect();
            codes.sort_unstable();
            assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
            assert!(codes.iter().all(|code| !code.is_empty()));
        }
    }
}
