#[tulipa::main]
async unsafe fn main() {}

#[tulipa::main]
pub async extern "C" fn callback() {}

#[tulipa::test]
async unsafe extern "C" fn answers() {}
