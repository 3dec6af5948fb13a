//! The tables. `IN` and `OUT` stand for names of files.

use super::kind::{Kind, Sort};

/// Bytes by which a kind is known, and where they lie.
pub(super) type Mark = (usize, &'static [u8]);

/// A line of a table.
const fn kind(name: &'static str, sort: Sort, remedy: &'static str) -> Kind {
    Kind { name, sort, remedy }
}

/// What makes a photograph of a camera's raw file.
pub(crate) const RAW_REMEDY: &str = "develop it: `darktable-cli IN OUT.png`";

const MAGICK: &str = "make a PNG of it: `magick IN OUT.png`";
const MAGICK_FIRST: &str = "make a PNG of its first picture: `magick 'IN[0]' OUT.png`";
const FRAMES: &str = "make photographs of its frames: `ffmpeg -i IN -vf fps=2 frames/%06d.png`";
const SLICES: &str = "write its slices as PNG, for example with nibabel and Pillow";
const ARRAYS: &str = "write its arrays as PNG, for example with Pillow's `Image.fromarray`";
const UNPACK: &str = "unpack it first";
const FETCH: &str = "the download did not give the file itself: fetch it again";

/// Kinds with fixed bytes, looked up in this order.
pub(super) const MARKED: [(Kind, &[Mark]); 80] = [
    // Pictures
    (
        kind("a JPEG 2000 image", Sort::Picture, "`opj_decompress -i IN -o OUT.png`"),
        &[(0, b"\0\0\0\x0cjP  \r\n\x87\n")],
    ),
    (kind("a JPEG 2000 codestream", Sort::Picture, "`opj_decompress -i IN -o OUT.png`"), &[(0, b"\xff\x4f\xff\x51")]),
    (kind("a JPEG XL image", Sort::Picture, "`djxl IN OUT.png`"), &[(0, b"\0\0\0\x0cJXL \r\n\x87\n")]),
    (kind("a JPEG XL image", Sort::Picture, "`djxl IN OUT.png`"), &[(0, b"\xff\x0a")]),
    (kind("a JPEG XR image", Sort::Picture, "`JxrDecApp -i IN -o OUT.bmp`"), &[(0, b"II\xbc\x01")]),
    (kind("a Photoshop file", Sort::Picture, MAGICK_FIRST), &[(0, b"8BPS")]),
    (kind("a GIMP file", Sort::Picture, "export it from GIMP as PNG"), &[(0, b"gimp xcf")]),
    (kind("an OpenEXR image of floats", Sort::Picture, MAGICK), &[(0, b"\x76\x2f\x31\x01")]),
    (kind("a Radiance HDR image of floats", Sort::Picture, MAGICK), &[(0, b"#?RADIANCE")]),
    (kind("a Radiance HDR image of floats", Sort::Picture, MAGICK), &[(0, b"#?RGBE")]),
    (kind("a PFM image of floats", Sort::Picture, MAGICK), &[(0, b"PF\n")]),
    (kind("a PFM image of floats", Sort::Picture, MAGICK), &[(0, b"Pf\n")]),
    (kind("a DirectDraw surface (DDS)", Sort::Picture, MAGICK_FIRST), &[(0, b"DDS \x7c\0\0\0")]),
    (kind("a Windows icon (ICO)", Sort::Picture, MAGICK_FIRST), &[(0, b"\0\0\x01\0")]),
    // Without its footer, a Targa image of colours begins as no cursor does: with a map of no colours.
    (kind("a Targa image (TGA)", Sort::Picture, MAGICK), &[(0, b"\0\0\x02\0\0\0\0\0")]),
    (kind("a Targa image (TGA)", Sort::Picture, MAGICK), &[(0, b"\0\0\x0a\0\0\0\0\0")]),
    (kind("a Windows cursor (CUR)", Sort::Picture, MAGICK_FIRST), &[(0, b"\0\0\x02\0")]),
    (kind("a QOI image", Sort::Picture, MAGICK), &[(0, b"qoif")]),
    (kind("a farbfeld image", Sort::Picture, MAGICK), &[(0, b"farbfeld")]),
    (kind("an SGI image", Sort::Picture, MAGICK), &[(0, b"\x01\xda\0\x01")]),
    (kind("an SGI image", Sort::Picture, MAGICK), &[(0, b"\x01\xda\x01\x01")]),
    (kind("a PCX image", Sort::Picture, MAGICK), &[(0, b"\x0a\x05\x01\x08")]),
    (kind("a FLIF image", Sort::Picture, "`flif -d IN OUT.png`"), &[(0, b"FLIF")]),
    (kind("a BPG image", Sort::Picture, "`bpgdec -o OUT.png IN`"), &[(0, b"BPG\xfb")]),
    (kind("a DjVu document", Sort::Picture, "`ddjvu -format=tiff IN OUT.tif`"), &[(0, b"AT&TFORM")]),
    (kind("a PDF document", Sort::Picture, "`pdftoppm -png -r 300 IN OUT`"), &[(0, b"%PDF")]),
    (kind("a PostScript document", Sort::Picture, "`magick -density 300 IN OUT.png`"), &[(0, b"%!PS")]),
    (kind("a FITS image", Sort::Picture, "`gdal_translate -of PNG -scale -ot Byte IN OUT.png`"), &[(0, b"SIMPLE  =")]),
    // Raw files of cameras that do not begin like TIFF
    (kind("a camera's raw file (RAF of Fujifilm)", Sort::Picture, RAW_REMEDY), &[(0, b"FUJIFILMCCD-RAW")]),
    (kind("a camera's raw file (ORF of Olympus)", Sort::Picture, RAW_REMEDY), &[(0, b"IIRO")]),
    (kind("a camera's raw file (ORF of Olympus)", Sort::Picture, RAW_REMEDY), &[(0, b"IIRS")]),
    (kind("a camera's raw file (ORF of Olympus)", Sort::Picture, RAW_REMEDY), &[(0, b"MMOR")]),
    (kind("a camera's raw file (RW2 of Panasonic)", Sort::Picture, RAW_REMEDY), &[(0, b"IIU\0")]),
    (kind("a camera's raw file (CRW of Canon)", Sort::Picture, RAW_REMEDY), &[(0, b"II\x1a\0\0\0HEAPCCDR")]),
    (kind("a camera's raw file (X3F of Sigma)", Sort::Picture, RAW_REMEDY), &[(0, b"FOVb")]),
    (kind("a camera's raw file (MRW of Minolta)", Sort::Picture, RAW_REMEDY), &[(0, b"\0MRM")]),
    // Videos
    (kind("an AVI video", Sort::Video, FRAMES), &[(0, b"RIFF"), (8, b"AVI ")]),
    (kind("a WAVE sound", Sort::Other, "leave it out"), &[(0, b"RIFF"), (8, b"WAVE")]),
    (kind("a Matroska or WebM video", Sort::Video, FRAMES), &[(0, b"\x1a\x45\xdf\xa3")]),
    (kind("an MPEG video", Sort::Video, FRAMES), &[(0, b"\0\0\x01\xba")]),
    (kind("an MPEG video", Sort::Video, FRAMES), &[(0, b"\0\0\x01\xb3")]),
    (kind("an MPEG transport stream", Sort::Video, FRAMES), &[(0, b"\x47"), (188, b"\x47"), (376, b"\x47")]),
    (kind("a Flash video", Sort::Video, FRAMES), &[(0, b"FLV\x01")]),
    (kind("a Windows Media video", Sort::Video, FRAMES), &[(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")]),
    (kind("a QuickTime video", Sort::Video, FRAMES), &[(0, b"\0"), (4, b"moov")]),
    (kind("a QuickTime video", Sort::Video, FRAMES), &[(0, b"\0"), (4, b"mdat")]),
    (kind("a QuickTime video", Sort::Video, FRAMES), &[(0, b"\0"), (4, b"wide")]),
    (kind("an Ogg video or sound", Sort::Video, FRAMES), &[(0, b"OggS")]),
    // Volumes and arrays
    (kind("a volume in NIfTI", Sort::Arrays, SLICES), &[(344, b"n+1\0")]),
    (kind("a volume in NIfTI", Sort::Arrays, SLICES), &[(344, b"ni1\0")]),
    (kind("a volume in NIfTI", Sort::Arrays, SLICES), &[(4, b"n+2\0\r\n\x1a\n")]),
    (
        kind("a volume in NRRD", Sort::Arrays, "write its slices as PNG, for example with pynrrd and Pillow"),
        &[(0, b"NRRD000")],
    ),
    (kind("a DICOM file", Sort::Arrays, "`dcm2img +on IN OUT.png`"), &[(128, b"DICM")]),
    (kind("an HDF5 file", Sort::Arrays, ARRAYS), &[(0, b"\x89HDF\r\n\x1a\n")]),
    (kind("a NumPy array", Sort::Arrays, ARRAYS), &[(0, b"\x93NUMPY")]),
    (kind("a MATLAB file", Sort::Arrays, ARRAYS), &[(0, b"MATLAB 5.0 MAT-file")]),
    (kind("a NetCDF file", Sort::Arrays, ARRAYS), &[(0, b"CDF\x01")]),
    (kind("a NetCDF file", Sort::Arrays, ARRAYS), &[(0, b"CDF\x02")]),
    (kind("a Parquet file", Sort::Arrays, "name the data set that it belongs to"), &[(0, b"PAR1")]),
    (kind("an Arrow file", Sort::Arrays, "write it as Parquet"), &[(0, b"ARROW1")]),
    (kind("an SQLite database", Sort::Arrays, "write its pictures as files"), &[(0, b"SQLite format 3\0")]),
    // Networks
    (kind("a TensorFlow Lite model", Sort::Network, "use the model that it was made from"), &[(4, b"TFL3")]),
    (kind("a GGUF model", Sort::Network, "use the model that it was made from"), &[(0, b"GGUF")]),
    (
        kind("a TensorFlow SavedModel", Sort::Network, "name the checkpoint in its folder: variables/variables.index"),
        &[(0, b"\x08\x01\x12")],
    ),
    (kind("a Python pickle", Sort::Pickle, ARRAYS), &[(0, b"\x80\x02")]),
    (kind("a Python pickle", Sort::Pickle, ARRAYS), &[(0, b"\x80\x03")]),
    (kind("a Python pickle", Sort::Pickle, ARRAYS), &[(0, b"\x80\x04")]),
    (kind("a Python pickle", Sort::Pickle, ARRAYS), &[(0, b"\x80\x05")]),
    // Archives
    (kind("a zip archive", Sort::Zip, UNPACK), &[(0, b"PK\x03\x04")]),
    (kind("an empty zip archive", Sort::Zip, UNPACK), &[(0, b"PK\x05\x06")]),
    (
        kind("a gzip archive", Sort::Archive, "unpack it first: `gunzip IN`, or `tar -xzf IN` of a .tar.gz"),
        &[(0, b"\x1f\x8b")],
    ),
    (kind("a bzip2 archive", Sort::Archive, "unpack it first: `bunzip2 IN`"), &[(0, b"BZh")]),
    (kind("an xz archive", Sort::Archive, "unpack it first: `unxz IN`"), &[(0, b"\xfd7zXZ\0")]),
    (kind("a Zstandard archive", Sort::Archive, "unpack it first: `unzstd IN`"), &[(0, b"\x28\xb5\x2f\xfd")]),
    (kind("a 7z archive", Sort::Archive, "unpack it first: `7z x IN`"), &[(0, b"7z\xbc\xaf\x27\x1c")]),
    (kind("a RAR archive", Sort::Archive, "unpack it first: `unrar x IN`"), &[(0, b"Rar!\x1a\x07")]),
    (kind("a tar archive", Sort::Tar, "unpack it first: `tar -xf IN`"), &[(257, b"ustar")]),
    // Text that a program left in the place of a file
    (
        kind("a pointer of Git LFS, not the file itself", Sort::Text, "fetch the files: `git lfs pull`"),
        &[(0, b"version https://git-lfs")],
    ),
    (
        kind("an AppleDouble file, which macOS leaves beside others", Sort::Other, "leave it out"),
        &[(0, b"\0\x05\x16\x07")],
    ),
    (kind("a program", Sort::Other, FETCH), &[(0, b"\x7fELF")]),
];

/// Brands of ISO media files (ISO/IEC 14496-12, 4.3): the four bytes at 8, as far as they are given.
pub(super) const BRANDS: [(&[u8], Kind); 14] = [
    (b"avif", kind("an AVIF image", Sort::Picture, "`avifdec IN OUT.png`")),
    (b"avis", kind("an AVIF image", Sort::Picture, "`avifdec IN OUT.png`")),
    (b"hei", HEIC),
    (b"hev", HEIC),
    (b"mif1", kind("a HEIF photograph", Sort::Picture, "`heif-convert IN OUT.png`")),
    (b"msf1", kind("a HEIF photograph", Sort::Picture, "`heif-convert IN OUT.png`")),
    (b"crx ", kind("a camera's raw file (CR3 of Canon)", Sort::Picture, RAW_REMEDY)),
    (b"jp2 ", kind("a JPEG 2000 image", Sort::Picture, "`opj_decompress -i IN -o OUT.png`")),
    (b"jxl ", kind("a JPEG XL image", Sort::Picture, "`djxl IN OUT.png`")),
    (b"qt  ", kind("a QuickTime video", Sort::Video, FRAMES)),
    (b"3g", kind("a 3GP video", Sort::Video, FRAMES)),
    (b"M4A", kind("an MPEG-4 sound", Sort::Other, "leave it out")),
    (b"M4V", kind("an MPEG-4 video", Sort::Video, FRAMES)),
    // Of the many others, as good as all are videos.
    (b"", kind("an MPEG-4 video", Sort::Video, FRAMES)),
];

const HEIC: Kind = kind("a HEIC photograph", Sort::Picture, "`heif-convert IN OUT.png`");

pub(super) const ONNX: Kind = kind("an ONNX model", Sort::Network, "use the weights that it was exported from");
pub(super) const TARGA: Kind = kind("a Targa image (TGA)", Sort::Picture, MAGICK);
pub(super) const ZEROS: Kind =
    kind("nothing but zeros, as of a copy that was cut off", Sort::Other, "copy the file again from its source");
pub(super) const WEB_PAGE: Kind = kind("a web page, as a server sends it instead of a file", Sort::Text, FETCH);
pub(super) const SVG: Kind = kind("an SVG drawing", Sort::Picture, "`rsvg-convert IN -o OUT.png`");
pub(super) const XML: Kind = kind("XML text", Sort::Text, "name the file itself");
pub(super) const JSON: Kind = kind("JSON text", Sort::Text, "name the file itself");
pub(super) const TEXT: Kind = kind("text", Sort::Text, "name the file itself");
